import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from babysit.records.curves import TRAIN_LOSS, Curves, Series
from babysit.records.run import Run, Status
from babysit.records.verdict import Missing, Verdict
from babysit.rules.examples import example_run
from babysit.store import durable_writer as sink_module
from babysit.store import summary as summary_module
from babysit.store.change_builder import ChangeBuilder
from babysit.store.store import Store
from babysit.testing.synthetic_runs import losses

PROGRAM = """
import sys, time
from babysit.store.store import Store
from babysit.records.run import Run
from babysit.testing.synthetic_runs import losses
writer = Store(sys.argv[1]).open_writer(Run(id="a"))
"""


def program(lines: str, store: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM + lines, str(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of(running: "subprocess.Popen[str]", count: int) -> str:
    """The first lines that a program says; it goes on meanwhile."""
    assert running.stdout is not None
    return "".join(running.stdout.readline() for _ in range(count))


def steps_of(store: Store, run_id: str) -> list[int]:
    return [int(step) for step in store.load(run_id).curves.get(TRAIN_LOSS).steps]


def test_a_run_is_listed_as_soon_as_its_writer_is_open(tmp_path: Path) -> None:
    with Store(str(tmp_path)) as store:
        store.open_writer(Run(id="a", name="first"))
        assert [(line.name, line.status) for line in store.list()] == [("first", Status.RUNNING)]


def test_rows_are_readable_soon_without_asking(tmp_path: Path) -> None:
    with Store(str(tmp_path)) as store:
        writer = store.open_writer(Run(id="a"))
        writer.append(curves=losses(0, 3))
        deadline = time.monotonic() + 5
        while not steps_of(store, "a") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert steps_of(store, "a") == [0, 1, 2]


def test_many_small_rows_become_few_segments(tmp_path: Path) -> None:
    with Store(str(tmp_path)) as store:
        writer = store.open_writer(Run(id="a"))
        for step in range(2000):
            writer.append(curves=losses(step, step + 1))
        writer.close()
        assert steps_of(store, "a") == list(range(2000))
    with sqlite3.connect(tmp_path / "babysit.sqlite") as database:
        assert database.execute("SELECT count(*) FROM segments").fetchone()[0] <= 20


def test_a_long_run_is_gathered_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "_MERGE_SEGMENTS", 10)
    with Store(str(tmp_path)) as store:
        writer = store.open_writer(Run(id="a"))
        for step in range(95):
            writer.append(curves=losses(step, step + 1))
            writer.flush()
            if step == 44:
                writer.rewind(40)
                writer.append(curves=losses(41, 45))
        writer.close()
        assert steps_of(store, "a") == list(range(95))
        assert writer.problems == ()
    with sqlite3.connect(tmp_path / "babysit.sqlite") as database:
        assert database.execute("SELECT count(*) FROM segments").fetchone()[0] <= 30


def test_a_clock_that_is_set_back_does_not_lose_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(str(tmp_path)) as store:
        store.save(Run(id="a", name="before"))
        monkeypatch.setattr(time, "time_ns", lambda: 1_000)
        store.save(Run(id="a", name="after"))
        assert store.load("a").name == "after"
        writer = store.open_writer(Run(id="a", name="later"))
        writer.append(curves=losses(0, 2))
        writer.close()
        assert (store.load("a").name, steps_of(store, "a")) == ("later", [0, 1])


def test_a_store_removed_while_a_run_goes_on_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "runs"))
    writer = store.open_writer(Run(id="a"))
    shutil.rmtree(tmp_path / "runs")
    writer.append(curves=losses(0, 2))
    writer.close()
    assert "was removed" in writer.problems[0]


def test_a_program_that_forgets_to_close_loses_nothing(tmp_path: Path) -> None:
    end = program("writer.append(curves=losses(0, 5))", tmp_path)
    assert end.wait(60) == 0, end.communicate()
    with Store(str(tmp_path)) as store:
        assert steps_of(store, "a") == [0, 1, 2, 3, 4]


def test_a_program_that_raises_loses_nothing(tmp_path: Path) -> None:
    end = program("writer.append(curves=losses(0, 5)); 1 / 0", tmp_path)
    assert end.wait(60) == 1
    with Store(str(tmp_path)) as store:
        assert steps_of(store, "a") == [0, 1, 2, 3, 4]
        interrupted = store.load("a")
        assert interrupted.status is Status.INTERRUPTED
        resumed = store.open_writer(interrupted)
        resumed.append(curves=losses(5, 7))
        resumed.flush()
        assert store.list()[0].status is Status.RUNNING
        assert steps_of(store, "a") == list(range(7))


def test_an_interrupt_keeps_what_was_appended(tmp_path: Path) -> None:
    going = program(
        "step = 0\nwhile True:\n    writer.append(curves=losses(step, step + 1)); step += 1; print(step)"
        "\n    time.sleep(0.001)",
        tmp_path,
    )
    said = lines_of(going, 50)
    going.send_signal(signal.SIGINT)
    rest, errors = going.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    with Store(str(tmp_path)) as store:
        kept = steps_of(store, "a")
    assert kept == list(range(len(kept)))
    assert len(kept) >= len((said + rest).splitlines())


@pytest.mark.slow
def test_a_kill_without_warning_loses_no_committed_row(tmp_path: Path) -> None:
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        going = program(
            "step = 0\nwhile True:\n    writer.append(curves=losses(step, step + 100)); step += 100; writer.flush()"
            "\n    print(step)",
            folder,
        )
        said = lines_of(going, 5 + 8 * attempt)
        going.kill()
        rest, _ = going.communicate(timeout=60)
        committed = int((said + rest).splitlines()[-1])
        with Store(str(folder)) as store:
            kept = steps_of(store, "a")
            assert kept == list(range(len(kept)))
            assert len(kept) >= committed > 0
            assert store.list()[0].status is Status.INTERRUPTED
            assert store.problems == ()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_neither_hangs_nor_writes_nor_disturbs(tmp_path: Path) -> None:
    with Store(str(tmp_path)) as store:
        writer = store.open_writer(Run(id="a"))
        context = multiprocessing.get_context("fork")

        def in_child() -> None:
            writer.append(curves=losses(100, 200))
            assert not writer.flush(wait_seconds=0.1)
            writer.close()
            with Store(str(tmp_path)) as own:
                own.save(Run(id=f"child-{os.getpid()}", status=Status.FINISHED))

        for step in range(12):
            child = context.Process(target=in_child)
            writer.append(curves=losses(step, step + 1))
            child.start()
            child.join(30)
            assert child.exitcode == 0
        writer.close()
        assert steps_of(store, "a") == list(range(12))
        assert len(store.list()) == 13
        assert writer.problems == ()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_ends_like_a_program_leaves_the_run_alone(tmp_path: Path) -> None:
    end = program(
        "import os\n"
        "writer.append(curves=losses(0, 3)); writer.flush()\n"
        "child = os.fork()\n"
        "if child == 0: sys.exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "writer.append(curves=losses(3, 5)); writer.close(); assert writer.problems == (), writer.problems",
        tmp_path,
    )
    _, errors = end.communicate(timeout=60)
    assert end.returncode == 0, errors
    with Store(str(tmp_path)) as store:
        assert steps_of(store, "a") == [0, 1, 2, 3, 4]


def test_a_fault_of_the_recorder_costs_what_it_was_about_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    with Store(str(tmp_path)) as store:
        writer = store.open_writer(Run(id="a"))
        with monkeypatch.context() as context:
            context.setattr(ChangeBuilder, "changes", fail)
            writer.append(curves=losses(0, 1))
            assert writer.flush()
        writer.append(curves=losses(1, 2))
        writer.update(status="finished")
        writer.close()
        assert "a fault of ours" in writer.problems[0]
        assert steps_of(store, "a") == [1]
        assert store.list()[0].status is Status.FINISHED


def test_a_silent_writer_elsewhere_is_taken_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Callable[[Path], None]
) -> None:
    with Store(str(tmp_path)) as store:
        store.save(Run(id="a"))
        rows(tmp_path)
        assert store.list()[0].status is Status.RUNNING
        monkeypatch.setattr(summary_module, "SILENT_SECONDS", 0.0)
        assert store.list()[0].status is Status.INTERRUPTED


@pytest.fixture
def rows() -> Callable[[Path], None]:
    def elsewhere(folder: Path) -> None:
        with sqlite3.connect(folder / "babysit.sqlite") as database:
            database.execute("UPDATE runs SET machine = 'another'")

    return elsewhere


def test_a_healthy_verdict_of_a_program_that_is_gone_is_inconclusive(tmp_path: Path) -> None:
    kept = msgspec.structs.replace(example_run(), id="a", status=Status.RUNNING, verdict=Verdict.HEALTHY)
    with Store(str(tmp_path)) as store:
        store.open_writer(kept)
    with closing(sqlite3.connect(tmp_path / "babysit.sqlite")) as connection:
        connection.execute("UPDATE runs SET started = 'before this process'")
        connection.commit()
    with Store(str(tmp_path)) as store:
        run, (line,) = store.load("a"), store.list()
    assert (line.status, line.verdict) == (Status.INTERRUPTED, Verdict.INCONCLUSIVE)
    assert (run.status, run.verdict, run.missing) == (Status.INTERRUPTED, Verdict.INCONCLUSIVE, (Missing.END,))


def test_an_evaluation_after_the_last_step_is_no_further_step(tmp_path: Path) -> None:
    curves = losses(0, 150).series | {"val/loss": Series(np.array([150]), np.array([0.5]))}
    with Store(str(tmp_path)) as store:
        store.save(Run(id="a", status=Status.FINISHED, curves=Curves(series=curves)))
        assert [line.steps for line in store.list()] == [150]
