"""The live page in a real browser: it follows a real training, by mouse and by keyboard, in light and dark."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from babysit.reporting.live.access import AccessPolicy
from babysit.reporting.live.serving import bound, server_of
from babysit.store.store import Store
from babysit.testing import synthetic_runs

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]
# A real training on real data, watched as a user would watch it; it ends when the test says so.
TRAINING = """
import pathlib, sys, time, torch
from sklearn.datasets import load_digits
from torch import nn
torch.manual_seed(0)
pixels, labels = load_digits(return_X_y=True)
x, y = torch.tensor(pixels, dtype=torch.float32) / 16 - 0.3, torch.tensor(labels)
model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
if "twice" in sys.argv:
    model.append(nn.Softmax(dim=1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
begun = time.monotonic()
while not pathlib.Path("enough").exists() and time.monotonic() - begun < 600:
    rows = torch.randint(1500, (64,))
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
    optimizer.step()
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens pages; whatever a page complains of in its console fails the test."""
    complaints, contexts = [], []

    def visited(address, *, dark=False, width=1200):
        context = chromium.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": width, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(180_000)  # a machine that does ten other things takes its time
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda problem: complaints.append(str(problem)))
        page.on(
            "request", lambda sent: complaints.append(sent.url) if not sent.url.startswith(address_of(address)) else 0
        )
        page.goto(address)
        return page

    yield visited
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def keep(tmp_path):
    """Keeps a picture of a page; where is printed."""
    folder = Path(os.environ.get("BABYSIT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def kept(page, name):
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        print(f"picture: {folder / name}.png")

    return kept


@pytest.fixture
def store(tmp_path):
    place = tmp_path / "runs"
    with Store(str(place)) as kept:
        for run in (
            synthetic_runs.healthy_run(),
            synthetic_runs.diverging_run(),
            synthetic_runs.hostile_names_run(),
            synthetic_runs.search_run(),
        ):
            kept.save(run)
    return place


@pytest.fixture
def training(tmp_path):
    """Starts a watched training in a process of its own, which ends with the test."""
    begun = []

    def start(store, *arguments):
        script = tmp_path / "digits_training.py"
        script.write_text(TRAINING)
        command = [
            sys.executable,
            "-m",
            "babysit",
            "watch",
            "--store",
            str(store),
            "--exit-zero",
            script.name,
            *arguments,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        begun.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        return begun[-1]

    yield start
    (tmp_path / "enough").touch()
    for process in begun:
        process.wait(180)


def address_of(url):
    return "/".join(url.split("/")[:3])


def drawn(page, *, scrolling=True):
    """Waits until every figure is drawn; those out of sight are drawn as one comes to them."""
    page.wait_for_selector("#figures figure")
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        left = page.locator("#figures figure:not([data-drawn])")
        if not left.count():
            break
        if scrolling:
            left.first.scroll_into_view_if_needed()
        page.wait_for_timeout(100)
    assert "could not be drawn" not in page.content()
    page.evaluate("scrollTo(0, 0)")


def violations(page):
    """What axe-core finds serious, in words."""
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_a_page_follows_a_real_training_until_it_ends(serve, store, visit, training, keep, tmp_path):
    site = serve(store)
    home = visit(site.address)
    process = training(store)
    home.wait_for_selector("text=digits_training")  # it came by itself
    assert home.locator("#rows .state.running").count() == 1
    page = visit(f"{site.address}/run?id=latest")
    page.wait_for_selector("text=No problems found so far")
    drawn(page)
    figure = page.locator("figure[data-name=losses]")
    steps = page.locator(".tiles div", has_text="Steps").locator("dd")
    first, first_drawing = steps.inner_text(), int(figure.get_attribute("data-drawn"))
    caption = figure.locator("figcaption").inner_text()
    page.mouse.move(2, 2)
    page.wait_for_function(
        "before => Number(document.querySelector('figure[data-name=losses]').dataset.drawn) > before", arg=first_drawing
    )
    assert steps.inner_text() != first
    assert figure.locator("figcaption").inner_text() != caption
    assert figure.locator("svg").count() == 1, "the old drawing gave way to the new one"
    keep(page, "live-light")
    (tmp_path / "enough").touch()
    assert process.wait(180) == 0
    page.wait_for_selector("#verdict .state.finished")
    home.wait_for_selector("#rows .state.running", state="detached")
    assert home.locator("#rows tr").count() == 5


def test_a_fault_is_told_while_it_trains(serve, tmp_path, visit, training, keep):
    store = tmp_path / "runs"
    site = serve(store)
    page = visit(site.address)
    page.wait_for_selector("text=there are no runs here yet")
    training(store, "twice")
    page.wait_for_selector("text=O201 double-softmax")
    assert page.locator("#problem").inner_text() == ""
    page.click("text=digits_training")
    page.wait_for_selector("text=Problem found: double softmax")
    assert page.locator("#verdict .state").inner_text() == "live"
    drawn(page)
    keep(page, "live-sick")


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 390)])
def test_every_page_can_be_read_by_everybody(serve, store, visit, keep, dark, width):
    site = serve(store)
    two = urlencode([("run", synthetic_runs.healthy_run().id), ("run", synthetic_runs.diverging_run().id)])
    pages = {
        "list": "/",
        "healthy": f"/run?id={synthetic_runs.healthy_run().id}",
        "hostile": f"/run?id={synthetic_runs.hostile_names_run().id}",
        "search": f"/run?id={synthetic_runs.search_run().id}",
        "compared": f"/compare?{two}",
    }
    for name, path in pages.items():
        page = visit(f"{site.address}{path}", dark=dark, width=width)
        if name != "list":
            drawn(page)
        keep(page, f"{name}-{'dark' if dark else 'light'}-{width}")
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"


def test_everything_is_reached_by_keyboard(serve, store, visit):
    site = serve(store)
    page = visit(site.address)
    page.wait_for_selector("#link:has-text('Live updates on')")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
    assert reached[:5] == ["babysit", "text", "status", "verdict", "Filter"]
    boxes = page.locator("#rows input")
    for place in (0, 1):
        boxes.nth(place).focus()
        page.keyboard.press("Space")
    assert page.locator("#compare").inner_text() == "Compare 2 runs"
    page.locator("#compare").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("text=COMPARISON")
    page.go_back()
    page.wait_for_selector("#rows tr")
    page.locator("input[name=text]").fill("learning rate 1.0")
    page.keyboard.press("Enter")
    page.wait_for_url("**/*text=learning+rate*")
    assert page.locator("#rows tr").count() == 1
    page.locator("#rows a").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Problem found: learning rate too high")
    page.locator("textarea").fill("seen <b>by</b> me\nand again")
    page.locator("input[name=tags]").fill("shown")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Saved.")
    assert page.locator("textarea").input_value() == "seen <b>by</b> me\nand again"


def test_what_was_ticked_opened_and_chosen_stays_when_a_page_changes(serve, store, visit):
    site = serve(store)
    home = visit(site.address)
    home.wait_for_selector("#link:has-text('Live updates on')")
    box = home.locator("#rows input").nth(1)
    box.check()
    box.focus()
    chosen = box.get_attribute("value")
    run = synthetic_runs.overfit_run()
    page = visit(f"{site.address}/run?id={synthetic_runs.healthy_run().id}")
    drawn(page)
    figure = page.locator("figure[data-name=heatmap]")
    figure.scroll_into_view_if_needed()
    option = figure.locator("select option").nth(1).get_attribute("value")
    figure.locator("select").select_option(option)
    before = int(figure.get_attribute("data-drawn"))
    with Store(str(store)) as kept:
        kept.save(run)
        layer_metrics = synthetic_runs.diverging_run().layer_metrics
        writer = kept.open_writer(kept.load(synthetic_runs.healthy_run().id))
        writer.append(layer_metrics=layer_metrics)
        writer.flush()
        home.wait_for_selector(f"text={run.id}")
        assert home.locator("#rows input:checked").get_attribute("value") == chosen
        assert home.evaluate("document.activeElement.value") == chosen
        page.wait_for_function(
            "before => Number(document.querySelector('figure[data-name=heatmap]').dataset.drawn) > before", arg=before
        )
    assert figure.locator("select").input_value() == option


def test_a_page_says_when_its_server_is_gone_and_goes_on_when_it_is_back(chromium, store):
    def served(port):
        listening = bound("127.0.0.1", port)
        server = server_of(str(store), AccessPolicy())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        return server, thread, listening.getsockname()[1]

    server, thread, port = served(0)
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("#link:has-text('Live updates on')")
    server.should_exit = True
    thread.join(10)
    page.wait_for_selector("#link.lost")
    assert "does not respond" in page.locator("#link").inner_text()
    server, thread, _ = served(port)
    page.wait_for_selector("#link:not(.lost):has-text('Live updates on')")
    page.close()
    server.should_exit = True
    thread.join(10)
