"""Markdown: the report as text that reads the same everywhere, whatever names hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from babysit.records.run import Run
from babysit.reporting.markdown import escape, prose
from babysit.reporting.report import report
from babysit.testing import synthetic_runs

RENDERER = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")


def rendered(run):
    return RENDERER.render(report(run, format="md"))


def tags(page):
    return set(re.findall(r"<([a-z0-9]+)", page))


def test_the_verdict_is_the_heading_and_symptoms_stand_beneath_their_cause():
    page = rendered(synthetic_runs.diverging_run())
    assert page.startswith(
        "<h1>❌ Problems</h1>\n<p><strong>Problem found: learning rate too high (U601) in 4 layers, since step "
        "0.</strong></p>"
    )
    assert re.search(r"U601.*<ul>.*explains.*F906.*<ul>.*explains.*G502", page, re.S)
    assert "<pre><code class=\"language-python\">optimizer.param_groups[0]['lr'] = 1e-2" in page


def test_results_experiments_and_facts_are_tables():
    page = rendered(synthetic_runs.healthy_run())
    assert "<td>Test accuracy</td>\n<td>97.8 %</td>" in page
    assert page.count("<table>") == 4  # results, experiments, trials, facts
    assert "Monitoring overhead: 0.42 seconds, 0.63 % of the step time" in page


def test_a_run_without_anything_is_a_few_lines():
    text = report(Run(id="x"), format="md")
    assert text.startswith("# ❔ Running · inconclusive\n\n**Not judged yet")
    assert len(text.splitlines()) < 20


def test_hostile_names_are_text_and_nothing_else():
    page = rendered(synthetic_runs.hostile_names_run())
    assert tags(page) <= {
        "h1", "h2", "p", "ul", "li", "strong", "em", "code", "pre", "br", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert "&lt;script&gt;alert(1)" in page
    assert "x" * 3_000 not in page
    assert not set(page) & {"\x1b", "\x07", "\x00", "\u202e"}
    assert "<pre><code" in page


@given(st.text(st.characters(), max_size=80))
def test_escaped_text_renders_as_itself(text):
    written = escape("a " + text + " b")
    page = RENDERER.render(written)
    inner = re.sub(r"^<p>|</p>\n$", "", page)
    assert not re.search(r"<(?!/?p>)[a-z!/]", inner)
    assert "\n" not in written


@given(st.text("ab`<|*", max_size=30))
def test_prose_in_a_table_never_opens_a_cell_or_a_tag(text):
    page = RENDERER.render(f"| x | y |\n|---|---|\n| {prose(text, in_table=True) or ' '} | end |\n")
    assert page.count("<td") == 2
    assert tags(page) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert page.count("<td>end</td>") == 1


@pytest.mark.parametrize("text", ["@somebody", "see https://example.org/x", "www.example.org", "$x^2$", "#12"])
def test_nobody_is_called_and_nothing_is_linked(text):
    page = MarkdownIt("gfm-like").disable("linkify").render(escape(text))
    assert "<a " not in page
    assert "@somebody" not in escape(text)
    assert "://" not in escape(text)
    assert "www." not in escape(text)
    assert not re.search(r"(?<!\\)(?<!&)[$#]", escape(text))
