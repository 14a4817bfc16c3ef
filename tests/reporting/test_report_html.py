"""The page: self-contained, well-formed, small enough, and harmless whatever the names in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from babysit.plots.catalogue import PLOTS
from babysit.records.run import Run
from babysit.reporting.report import report
from babysit.testing import synthetic_runs

pytestmark = pytest.mark.drawing

VOID = {"meta", "br", "link", "img", "input", "hr"}
MEGABYTE = 1_000_000


class Page(HTMLParser):
    """Collects elements, attributes, scripts and visible text, and checks that elements are closed in order."""

    def __init__(self, source):
        super().__init__()
        self.open, self.elements, self.scripts, self.words, self.problems = [], [], [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def pages():
    made = {}

    def page(name):
        if name not in made:
            run = Run(id="empty") if name == "empty" else getattr(synthetic_runs, name)()
            made[name] = report(run)
        return made[name]

    return page


ALL = ("healthy_run", "diverging_run", "dead_relu_run", "overfit_run", "search_run", "hostile_names_run", "empty")


@pytest.mark.parametrize("name", ALL)
def test_the_page_is_well_formed_and_reaches_for_nothing(pages, name):
    page = Page(pages(name))
    assert (page.problems, page.open) == ([], [])
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form")
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "srcdoc", "action")]
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in re.search(r"<style>.*?</style>", pages(name), re.S)[0]


@pytest.mark.parametrize("name", ALL)
def test_only_our_own_scripts_may_run_and_each_is_named_by_its_hash(pages, name):
    page = Page(pages(name))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    kinds = [script.get("type", "") for script in page.all("script")]
    running = [source for source, kind in zip(page.scripts, kinds, strict=True) if kind != "application/json"]
    hashes = {base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in running}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert len(hashes) == (0 if name == "empty" else 2)
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]


def test_hostile_names_are_text_and_nothing_else(pages):
    source = pages("hostile_names_run")
    page = Page(source)
    text = "".join(page.words)
    assert "</script><script>alert(1)</script>" in text
    assert "{{ 7*7 }}{% raw %}[bold red]x[/bold red]" in text
    assert "層.日本語 🐣 résumé" in text
    assert not set(source) & {"\x1b", "\x07", "\x00", "\u202e"}
    assert [script.get("type", "") for script in page.all("script")] == ["application/json", "", ""]
    data = page.scripts[0]
    assert "<" not in data
    assert "alert(1)" in json.dumps(json.loads(data))
    assert "x" * 3_000 not in source
    source.encode()


def test_the_verdict_comes_first_and_headings_do_not_skip_a_level(pages):
    for name in ("diverging_run", "healthy_run"):
        page = Page(pages(name))
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        header = pages(name).index("<header")
        assert header < pages(name).index("<figure")
        assert header < 12_000  # nothing but the head and its style stands before the verdict


def test_findings_show_their_numbers_meaning_advice_and_code(pages):
    text = " ".join("".join(Page(pages("dead_relu_run")).words).split())
    for words in (
        "Problem found: dead units (A401) in hidden.1, since step 48.",
        "92 % of the units of hidden.1 are zero on all samples",
        "dead share",
        "0.92",
        "Train again with a tenth of the learning rate",
        "optimizer.param_groups[0]['lr'] *= 0.1",
    ):
        assert words in text


def test_symptoms_are_nested_in_the_article_of_their_cause(pages):
    source = pages("diverging_run")
    articles = re.findall(r"<article|</article>|U601</span>|F906</span>|G502</span>", source)
    assert articles == [
        "<article", "U601</span>", "<article", "F906</span>", "<article", "G502</span>",
        "</article>", "</article>", "</article>",
    ]  # fmt: skip


def test_every_figure_says_in_words_what_it_shows(pages):
    page = Page(pages("healthy_run"))
    figures = [attributes for attributes in page.all("div") if attributes.get("role") == "img"]
    assert len(figures) == len(page.all("figure")) == len(PLOTS)
    assert all(len(figure["aria-label"]) > 40 for figure in figures)
    specifications = json.loads(page.scripts[0])
    assert {f"figure-{name}" for name in specifications} == {figure["id"] for figure in figures}


def test_figures_ask_for_no_data_from_elsewhere(pages):
    for specification in json.loads(Page(pages("healthy_run")).scripts[0]).values():
        assert '"url"' not in json.dumps(specification)


def test_an_almost_empty_run_says_what_is_missing_and_why_and_carries_no_scripts(pages):
    page = Page(pages("empty"))
    text = " ".join("".join(page.words).split())
    assert "Not judged yet" in text
    assert "Loss: no loss was recorded" in text
    assert len(pages("empty")) < 20_000


def test_the_page_stays_small(pages):
    assert len(pages("healthy_run").encode()) <= 1.5 * MEGABYTE
    assert len(report(synthetic_runs.hundred_layers_run()).encode()) <= 3 * MEGABYTE
    assert len(report(synthetic_runs.deep_run(layers=1000, steps=10_000)).encode()) <= 3 * MEGABYTE


def test_the_footer_says_what_watching_cost(pages):
    footer = pages("healthy_run").partition("<footer>")[2]
    assert "Monitoring overhead: 0.42 seconds, 0.63 % of the step time (budget 1 %)" in footer


def test_backquotes_become_code_and_a_lone_one_stays():
    from babysit.reporting.page import _prose

    assert _prose("use `a<b` now") == "use <code>a&lt;b</code> now"
    assert _prose("a ` alone <b>") == "a ` alone &lt;b&gt;"
