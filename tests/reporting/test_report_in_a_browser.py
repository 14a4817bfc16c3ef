"""The pages in a real browser: drawn from a file without a network, readable for everybody, and soon there."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from babysit.reporting.compare import compare
from babysit.reporting.compare_html import compare_html
from babysit.reporting.report import report
from babysit.testing import synthetic_runs

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]
DRAWN = "html[data-drawn=yes]"
PATIENCE = 180_000  # milliseconds: on a busy machine a page takes its time, and that is no fault of the page
SHOWN = """() => [...document.querySelectorAll('.drawing')].map(
    (place) => [place.id, place.dataset.drawn === 'yes' && place.querySelectorAll('svg').length === 1])"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, written = tmp_path_factory.mktemp("pages"), {}

    def file(name):
        if name not in written:
            path = folder / f"{name}.html"
            path.write_text(page_of(name), encoding="utf-8")
            written[name] = path
        return written[name]

    return file


def page_of(name):
    if name == "compared":
        return compare_html(compare([synthetic_runs.healthy_run(), synthetic_runs.diverging_run()]))
    if name == "compared_hostile":
        hostile = synthetic_runs.hostile_names_run()
        return compare_html(compare([hostile, msgspec.structs.replace(hostile, id=synthetic_runs.HOSTILE_NAMES[0])]))
    if name == "thousand_layers":
        return report(synthetic_runs.deep_run(layers=1000, steps=10_000))
    return report(getattr(synthetic_runs, name)())


@pytest.fixture
def opened(browser, files):
    """Opens a page with the network off; complaints, dialogs and requests are kept beside it."""
    contexts = []

    def open_page(name, *, scheme="light", width=1180):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda problem: page.complaints.append(str(problem)))
        page.on("dialog", lambda dialog: (page.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(files(name).as_uri())
        page.wait_for_selector(DRAWN, state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", ["healthy_run", "hostile_names_run", "compared", "compared_hostile"])
def test_every_figure_is_drawn_without_the_network_and_without_a_complaint(opened, files, name):
    page = opened(name)
    shown = page.evaluate(SHOWN)
    assert len(shown) >= 2
    assert [place for place, drawn in shown if not drawn] == []
    assert page.complaints == []
    assert page.asked == [files(name).as_uri()]
    assert page.evaluate("document.querySelectorAll('img, iframe, object').length") == 0


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("diverging_run", "light"), ("diverging_run", "dark"), ("healthy_run", "dark"), ("compared", "light")],
)
def test_nothing_serious_stands_in_the_way_of_those_who_do_not_see(opened, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(opened(name, scheme=scheme)).response["violations"]
    serious = [
        (one["id"], [node["target"] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_hundred_layers_over_ten_thousand_steps_are_painted_within_two_seconds(opened, files):
    assert files("hundred_layers_run").stat().st_size <= 3_000_000
    page = opened("hundred_layers_run")
    times = []
    while len(times) < 8 and min(times, default=9_999) > 2_000:
        page.reload()
        page.wait_for_selector(DRAWN, state="attached")
        times.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    # The best of a few: other work on the machine only ever adds.
    assert min(times) <= 2_000
    assert page.complaints == []


def test_a_thousand_layers_do_not_break_the_page(opened, files):
    assert files("thousand_layers").stat().st_size <= 3_000_000
    page = opened("thousand_layers")
    assert [place for place, drawn in page.evaluate(SHOWN) if not drawn] == []
    assert page.complaints == []


def test_the_first_key_leads_past_the_findings_to_the_figures(opened):
    page = opened("diverging_run")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "figures-title"


def test_choosing_a_statistic_changes_the_map(opened):
    page = opened("dead_relu_run")
    before = page.inner_html("#figure-heatmap")
    page.select_option("#controls-heatmap select", label="gradient RMS")
    page.wait_for_function("(old) => document.querySelector('#figure-heatmap').innerHTML !== old", arg=before)
    assert page.complaints == []


def test_the_page_follows_light_and_dark_and_is_dark_ink_on_white_in_print(opened):
    def colours(page):
        return page.evaluate(
            "() => [getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.drawing')).color]"
        )

    assert colours(opened("healthy_run"))[0] == "rgb(255, 255, 255)"
    page = opened("healthy_run", scheme="dark")
    assert colours(page) == ["rgb(20, 22, 26)", "rgb(230, 230, 230)"]
    page.emulate_media(media="print", color_scheme="dark")
    assert colours(page) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]


def test_nothing_sticks_out_on_a_telephone(opened):
    for name in ("diverging_run", "compared"):
        page = opened(name, width=390)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
