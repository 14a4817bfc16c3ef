"""What the page shows of a store, and how it follows it."""

from __future__ import annotations

import json
import sqlite3
import time

import msgspec
import numpy as np
import pytest

from babysit.records.curves import TRAIN_LOSS, Curves, Series
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Severity
from babysit.records.run import Run, Status
from babysit.records.trial import StageRange, Trial, TrialState
from babysit.records.verdict import Verdict
from babysit.reporting.live import event_stream, fragments, run_filter
from babysit.reporting.live.event_stream import RunPoller
from babysit.reporting.live.store_session import StoreSession
from babysit.store import backend
from babysit.store.store import Store
from babysit.store.summary import RunSummary
from babysit.testing import synthetic_runs
from babysit.testing.synthetic_runs import losses
from tools.postgres_server import postgres_programs, postgres_server

pytestmark = pytest.mark.drawing


def read(stream, until):
    """The events of a stream, up to the one in which `until` stands."""
    got, deadline = [], time.monotonic() + 120
    while time.monotonic() < deadline:
        line = stream.readline().decode()
        assert line, "the stream ended"
        if line.startswith("data: "):
            got.append(json.loads(line.removeprefix("data: ")))
            if until in line:
                return got
    raise AssertionError(f"{until!r} did not come, but {got}")


def follow(site, url):
    with Store(url) as store:
        began = Run(id="20260101-000000-bobobo", name="going on")
        writer = store.open_writer(began)
        stream = site.listen(f"/events/run?id={began.id}")
        assert stream.headers["content-type"].startswith("text/event-stream")
        first = {event["name"]: event for event in read(stream, "overhead")}
        assert "Not judged yet" in first["verdict"]["html"]
        assert "losses" not in first
        writer.append(curves=losses(0, 30))
        news = {event["name"]: event for event in read(stream, '"losses"')}
        assert "30" in news["tiles"]["html"]
        assert news["losses"]["specification"]["layer"]
        assert "Training loss" in news["tiles"]["html"]
        assert "search" not in news, "what did not change is not sent again"
        found = Finding(code="O201", name="double-softmax", severity=Severity.ERROR, rank=1)
        writer.update(findings=(found,), verdict=Verdict.PROBLEMS)
        news = {event["name"]: event for event in read(stream, "double softmax")}
        assert "Problem found" in news["verdict"]["html"]
        writer.update(status=Status.FINISHED)
        read(stream, "finished")
        stream.close()


def test_a_run_is_followed_while_another_connection_writes_it(serve, tmp_path):
    follow(serve(tmp_path / "runs"), str(tmp_path / "runs"))


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed")
def test_a_run_is_followed_in_postgresql(serve):
    with postgres_server() as server:
        url = server.empty_database()
        follow(serve(url), url)


def test_where_no_store_is_the_page_waits_for_one_and_makes_none(serve, tmp_path):
    site = serve(tmp_path / "none")
    answer = site.ask("/")
    assert answer.status == 200
    assert "there are no runs here yet" in answer.text
    assert not (tmp_path / "none").exists()
    stream = site.listen("/events/runs")
    read(stream, "there are no runs")
    with Store(str(tmp_path / "none")) as store:
        store.save(synthetic_runs.healthy_run())
    read(stream, "digits")
    stream.close()
    assert "digits" in site.ask("/").text


def test_an_empty_store_says_how_to_begin(serve, tmp_path):
    Store(str(tmp_path)).close()
    page = serve(tmp_path).ask("/").text
    assert "babysit run digits" in page
    assert "0 runs" in page


def test_a_locked_store_is_said_to_be_so_and_read_once_it_is_free(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "BUSY_SECONDS", 0.2)
    with Store(str(tmp_path)) as store:
        store.save(synthetic_runs.healthy_run())
    for beside in ("-wal", "-shm"):
        (tmp_path / f"babysit.sqlite{beside}").unlink(missing_ok=True)
    holder = sqlite3.connect(tmp_path / "babysit.sqlite", isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    site = serve(tmp_path)
    answer = site.ask("/")
    assert answer.status == 503
    assert "locked by another program" in answer.text
    holder.close()
    assert "digits" in site.ask("/").text


def test_a_file_that_is_no_store_is_said_to_be_none(serve, tmp_path):
    (tmp_path / "babysit.sqlite").write_text("this is no database" * 100)
    answer = serve(tmp_path).ask("/")
    assert answer.status == 503
    assert "not a store, or it is damaged" in answer.text


def test_a_store_that_is_removed_meanwhile_is_missed_and_one_in_its_place_is_found(tmp_path):
    session = StoreSession(str(tmp_path))
    with Store(str(tmp_path)) as store:
        store.save(synthetic_runs.healthy_run())
    assert len(session.with_store(lambda store: store.list())) == 1
    for file in tmp_path.glob("babysit.sqlite*"):
        file.unlink()
    with pytest.raises(UserError):
        session.with_store(lambda store: store.list())
    with Store(str(tmp_path)) as store:
        store.save(synthetic_runs.diverging_run())
    assert [run.name for run in session.with_store(lambda store: store.list())] == ["digits with learning rate 1.0"]


def test_a_run_is_made_into_a_page_only_when_it_has_changed(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(event_stream.fragments, "of_run", lambda run: made.append(run.id) or {})
    with Store(str(tmp_path)) as store:
        run = synthetic_runs.healthy_run()
        store.save(run)
        poller = RunPoller(StoreSession(str(tmp_path)))
        for _ in range(3):
            poller.poll(["latest"])
        assert made == [run.id]
        store.save(msgspec.structs.replace(run, name="changed"))
        poller.poll([run.id])
        assert made == [run.id, run.id]


def test_an_error_in_one_poll_is_reported_and_the_stream_continues():
    sent: dict[str, str] = {}
    polls = iter([ZeroDivisionError("by <nothing>"), {"verdict": "well"}])

    def poll():
        found = next(polls)
        if isinstance(found, Exception):
            raise found
        return found

    ((trouble,), _) = event_stream._news("fragment", poll, sent)
    assert "ZeroDivisionError: by &lt;nothing&gt;" in trouble
    assert len(event_stream._news("fragment", poll, sent)[0]) == 2


@pytest.mark.parametrize("page", ["", "/events"])
def test_what_cannot_be_shown_is_refused_in_words(serve, tmp_path, page):
    with Store(str(tmp_path)) as store:
        store.save(synthetic_runs.healthy_run())
    site = serve(tmp_path)
    one = synthetic_runs.healthy_run().id
    for address, status, words in (
        ("/compare", 400, "at least two runs"),
        (f"/compare?run={one}", 400, "at least two runs"),
        (f"/compare?run={one}&run=nosuch", 404, "there is no run"),
        ("/run?id=nosuch", 404, "there is no run"),
    ):
        answer = site.ask(page + address)
        assert (answer.status, words in answer.text) == (status, True), address


def test_two_runs_are_put_beside_each_other_and_what_cannot_be_compared_is_said(serve, tmp_path):
    with Store(str(tmp_path)) as store:
        one, other = synthetic_runs.healthy_run(), synthetic_runs.diverging_run()
        store.save(one)
        store.save(other)
    site = serve(tmp_path)
    page = site.ask(f"/compare?run={one.id}&run={other.id}").text
    assert "Differences" in page
    answer = site.ask(f"/compare?run={one.id}")
    assert answer.status == 400
    assert "at least two runs" in answer.text
    assert site.ask(f"/compare?run={one.id}&run=nowhere").status == 404


def test_the_list_shows_what_was_asked_for():
    runs = [
        RunSummary(id="a", name="Digits", status=Status.RUNNING),
        RunSummary(id="b", name="other", status=Status.FINISHED, verdict="problems", root_cause="O201 double-softmax"),
        RunSummary(id="c", name="digits", status=Status.CRASHED, verdict="healthy", tags=("paper",)),
    ]

    def shown(**query):
        return "".join(run.id for run in run_filter.matching(runs, run_filter.run_filter(query)))

    assert shown() == "abc"
    assert shown(text="digits") == "ac"
    assert shown(text="PAPER digits") == "c"
    assert shown(text="softmax") == "b"
    assert shown(status="live") == "a"
    assert shown(status="crashed") == "c"
    assert shown(verdict="problems") == "b"
    assert shown(verdict="inconclusive") == "a"
    assert shown(status="<script>") == "abc"


def test_a_long_list_is_cut_unless_all_is_asked_for():
    runs = [RunSummary(id=str(number)) for number in range(150)]
    assert len(run_filter.matching(runs, run_filter.run_filter({}))) == 100
    assert len(run_filter.matching(runs, run_filter.run_filter({"show": "all"}))) == 150


def test_tiles_tell_the_mean_of_the_last_batches_and_a_loss_that_is_no_number():
    values = np.linspace(2.0, 1.0, 300)
    run = Run(id="x", curves=Curves(series={TRAIN_LOSS: Series(np.arange(300), values)}))
    assert dict(fragments.tiles(run)) == {"Steps": "300", "Training loss": "1"}
    values[-1] = np.nan
    assert dict(fragments.tiles(run))["Training loss"] == "NaN"


def test_a_search_is_told_stage_by_stage():
    trials = (
        Trial(number=0, stage="coarse", state=TrialState.COMPLETE, metric=0.5),
        Trial(number=1, stage="coarse", state=TrialState.PRUNED, metric=float("nan")),
        Trial(number=2, stage="fine", state=TrialState.RUNNING),
    )
    ranges = (StageRange(stage="coarse", parameter="lr", low=1e-5, high=0.1),)
    coarse, fine = fragments.stages(Run(id="x", trials=trials, ranges=ranges))
    assert (coarse.name, coarse.trials, coarse.stopped, coarse.best) == ("coarse", 2, 1, 0.5)
    assert coarse.ranges == ("lr 1e-5 to 0.1",)
    assert (fine.name, fine.running, fine.best) == ("fine", 1, None)


def test_hostile_names_in_findings_layers_and_figures_stay_text():
    run = synthetic_runs.hostile_names_run()
    written = fragments.of_run(run)
    assert "alert(1)" in written["findings"], "the hostile name is there"
    for html in written.values():
        assert "<script" not in html
        assert "<img" not in html
        assert not any(mark in html for mark in ("\x1b", "\u202e", "\x00"))
        html.encode()  # halves of characters were replaced
    for text in fragments.figures(run).values():
        assert "\n" not in text, "an event is one line"
        assert json.loads(text)["specification"]
