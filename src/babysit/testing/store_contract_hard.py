"""Demanding contract tests of stores: concurrent programs, killed programs, hostile names, long runs."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np

from babysit.records.curves import TRAIN_LOSS, Curves, Series
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Severity
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.model_summary import Layer, ModelSummary
from babysit.records.run import Run, Status
from babysit.records.secrets import value_without_secrets
from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run, losses, same


def error_text(action: Callable[[], object]) -> str:
    """Return the message of the UserError that an action raises. Raises AssertionError if it raises none."""
    try:
        action()
    except UserError as problem:
        return str(problem)
    raise AssertionError("a UserError was expected")


def threads_may_write_at_once(address: str) -> None:
    """Check that threads of one process can write a run each."""
    with Store(address) as store:
        threads = [threading.Thread(target=_write_run, args=(store, f"thread-{n}", 30)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _expect_runs(store, [f"thread-{n}" for n in range(4)], 30)


PROCESSES: Final = 16


def processes_may_open_and_write_at_once(address: str) -> None:
    """Check that sixteen processes can create the store together and write two runs each without problems."""
    context = fresh_processes()
    gate = context.Barrier(PROCESSES, timeout=120)
    processes = [
        context.Process(target=_write_two, args=(address, number, gate), daemon=True) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    with Store(address) as store:
        assert store.problems == ()  # nothing had to be spooled
        _expect_runs(store, [f"process-{number}-{run}" for number in range(PROCESSES) for run in "ab"], 40)


def fresh_processes() -> Any:
    """Return a context for processes that inherit nothing, with shared imports where forkserver exists."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["babysit.testing.store_contract", "sqlalchemy.dialects.sqlite"])
    return context


def _process_that_may_be_killed(address: str, run_id: str, sender: Any) -> None:
    with Store(address) as store:
        writer = store.open_writer(Run(id=run_id))
        step = 0
        while True:
            writer.append(curves=losses(step, step + 10))
            step += 10
            if writer.flush():
                sender.send(step)


def a_kill_without_warning_loses_nothing_that_was_flushed(address: str) -> None:
    """Check that everything `flush` confirmed is stored in order, and that the store opens."""
    killed_at_random_moments(address, kills=4, seed=0)


def killed_at_random_moments(address: str, *, kills: int, seed: int) -> int:
    """Kill writing programs one after another and check what they stored; return the number of rows found."""
    context, moments, found = fresh_processes(), random.Random(seed), 0
    for number in range(kills):
        receiver, sender = context.Pipe(duplex=False)
        program = context.Process(
            target=_process_that_may_be_killed, args=(address, f"killed-{number}", sender), daemon=True
        )
        program.start()
        sender.close()
        committed = receiver.recv()
        deadline = time.monotonic() + moments.uniform(0, 0.6)
        while time.monotonic() < deadline:
            if receiver.poll(0.001):
                committed = receiver.recv()
        program.kill()
        program.join(60)
        with suppress(EOFError):  # what it sent before it was killed
            while True:
                committed = receiver.recv()
        with Store(address) as store:
            assert store.problems == (), store.problems
            run = store.load(f"killed-{number}")
            steps = run.curves.get(TRAIN_LOSS).steps.tolist()
            assert run.status is Status.INTERRUPTED
            assert steps == list(range(len(steps)))
            assert len(steps) >= committed > 0
            found += len(steps)
    return found


def hostile_names_do_no_harm(address: str) -> None:
    """Check that SQL, markup, paths, control characters and long names are stored unchanged."""
    with Store(address) as store:
        store.save(full_run("neighbour"))
        for number, text in enumerate(HOSTILE):
            run = Run(
                id=f"hostile-{number}",
                name=text,
                kind=text,
                config={text: text},
                model_summary=ModelSummary(model=text, layers=(Layer(name=text, kind=text, order=0),)),
                curves=Curves(series={text: Series(np.arange(2), np.array([1.0, 0.5]))}),
                layer_metrics=LayerMetrics(
                    layers=(text,), steps=np.arange(1), values={"zeros": np.zeros((1, 1), dtype="float32")}
                ),
                findings=(Finding(code="R301", name=text, severity=Severity.ERROR, layers=(text,), message=text),),
            )
            store.save(run)
            store.annotate(run.id, notes=text)
            writer = store.open_writer(run)
            writer.append(curves=Curves(series={text: Series(np.array([2]), np.array([0.25]))}))
            writer.close()
            assert writer.problems == (), writer.problems
            stored = store.load(run.id)
            assert (stored.name, stored.layer_metrics.layers) == (text, (text,))
            assert stored.config == {text: value_without_secrets(text, text)}  # "passwd" in a name hides its value
            assert stored.curves.get(text).steps.tolist() == [0, 1, 2]
            line = next(line for line in store.list() if line.id == run.id)
            assert line.notes == line.name == text.replace("\0", "")  # PostgreSQL has no NUL
        assert store.problems == ()
        assert same(store.load("neighbour"), full_run("neighbour"))
        assert len(store.list()) == 1 + len(HOSTILE)


HOSTILE: Final = (
    "'; DROP TABLE runs; --",
    '" OR 1=1 --',
    "%s %(id)s :id {0} $1 \\",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "../../../etc/passwd",
    "C:\\..\\NUL",
    "null\0byte",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\r\n\x9b2J",
    "\u202eevil\u2066\u200b\ufeff",
    "Größe 层 слой طبقة 🙂👩‍👩‍👧",
    "[bold]rich[/bold] [/] [link=file:///etc]",
    "x" * 10_000,
    " ",
)


def an_id_that_could_be_a_path_is_refused(address: str) -> None:
    """Check that ids are restricted, because they name folders, while other text is not."""
    with Store(address) as store:
        for run_id in ("", ".", "..", "../up", "a/b", "a\\b", "nul\0", "line\n", "\x1b[1m", "x" * 10_000, " a", "-rf"):
            assert "is not a valid run ID" in error_text(lambda run_id=run_id: store.save(Run(id=run_id))), run_id  # type: ignore[misc]
            assert "is not a valid run ID" in error_text(lambda run_id=run_id: store.open_writer(Run(id=run_id)))  # type: ignore[misc]
        store.save(Run(id="größer-als_1.5"))
        for tag in ("", "a\nb\x1b", "x" * 101):
            assert "is not a valid tag" in error_text(lambda tag=tag: store.annotate("latest", tags=[tag])), tag  # type: ignore[misc]
        store.annotate("latest", tags=["'; DROP TABLE runs; --", "<b>", "層"])
        assert store.list()[0].tags == ("'; DROP TABLE runs; --", "<b>", "層")


def a_long_run_stays_within_its_bound(address: str) -> None:
    """Check that a growing run is downsampled but retains both ends, spikes, the best value and rows near findings."""
    with Store(address, megabytes=0.5) as store:
        writer = store.open_writer(Run(id="long"))
        writer.update(findings=(Finding(code="R301", name="x", severity=Severity.ERROR, first_step=150_000),))
        for first in range(0, 200_000, 10_000):
            curves = losses(first, first + 10_000)
            curves.get(TRAIN_LOSS).values[5_000] = first  # a spike in every piece
            writer.append(curves=curves)
            writer.flush()
        writer.close()
        assert writer.problems == ()
        curve = store.load("long").curves.get(TRAIN_LOSS)
        line = store.list()[0]
    assert line.thinned
    assert line.bytes <= 0.5e6
    assert line.steps == 200_000
    assert (curve.steps[0], curve.steps[-1]) == (0, 199_999)
    assert {150_000, 195_000} <= set(curve.steps.tolist())
    assert curve.steps[:500].tolist() == list(range(500))
    with Store(address, megabytes=0) as store:
        store.save(Run(id="whole", curves=losses(0, 200_000)))
        assert len(store.load("whole").curves.get(TRAIN_LOSS)) == 200_000


def _write_two(address: str, number: int, gate: Any) -> None:
    gate.wait()
    with Store(address) as store:
        for run in "ab":
            _write_run(store, f"process-{number}-{run}", 40)


def _write_run(store: Store, run_id: str, rows: int) -> None:
    writer = store.open_writer(Run(id=run_id))
    for step in range(rows):
        writer.append(curves=losses(step, step + 1))
        if step % 4 == 0:
            writer.flush()
    writer.update(status=Status.FINISHED)
    writer.close()
    assert writer.problems == (), writer.problems


def _expect_runs(store: Store, ids: Sequence[str], rows: int) -> None:
    assert sorted(line.id for line in store.list()) == sorted(ids)
    for run_id in ids:
        run = store.load(run_id)
        assert run.status is Status.FINISHED
        assert run.curves.get(TRAIN_LOSS).steps.tolist() == list(range(rows)), run_id


def a_run_whose_process_ended_is_interrupted(address: str) -> None:
    """Check that a run of an ended process is interrupted but readable, and that a live one is running."""
    process = fresh_processes().Process(target=_write_and_end, args=(address,))
    process.start()
    process.join(60)
    with Store(address) as store:
        writer = store.open_writer(Run(id="alive"))
        assert {line.id: line.status for line in store.list()} == {
            "alive": Status.RUNNING,
            "ended": Status.INTERRUPTED,
        }
        run = store.load("ended")
        writer.close()
    assert run.status is Status.INTERRUPTED
    assert run.curves.get(TRAIN_LOSS).steps.tolist() == [0, 1, 2]


def _write_and_end(address: str) -> None:
    writer = Store(address).open_writer(Run(id="ended"))
    writer.append(curves=losses(0, 3))
    writer.flush()
    os._exit(9)
