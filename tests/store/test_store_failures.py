"""A store that fails while a run goes on: the program ends normally, and everything comes back."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from babysit.monitor.monitor import Monitor
from babysit.records.curves import TRAIN_LOSS, Curves, Series
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.store import backend as place_module
from babysit.store import durable_writer as sink_module
from babysit.store import fork_safety as forking_module
from babysit.store import spool as spool_module
from babysit.store import writer as writer_module
from babysit.store.change_builder import ChangeBuilder, Rows, SetFields, Truncate
from babysit.store.compaction import shrink
from babysit.store.durable_writer import DurableWriter
from babysit.store.rows import Change, SegmentRow
from babysit.store.store import Store
from babysit.store.writer import condensed
from babysit.testing.synthetic_runs import full_run, losses, same
from tools.postgres_server import PostgresServer


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place_module, "BUSY_SECONDS", 0.5)
    monkeypatch.setattr(sink_module, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(sink_module, "_REPORT_SECONDS", 0.0)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def steps_of(store: Store, run_id: str) -> list[int]:
    return [int(step) for step in store.load(run_id).curves.get(TRAIN_LOSS).steps]


@pytest.mark.server
def test_a_server_that_stops_within_a_run_loses_nothing(server: PostgresServer) -> None:
    address = server.empty_database()
    with Store(address) as store:
        writer = store.open_writer(Run(id="a"))
        writer.append(curves=losses(0, 3))
        assert writer.flush()
        server.stop()
        for step in range(3, 6):
            writer.append(curves=losses(step, step + 1))
            assert writer.flush()
        with pytest.raises(UserError, match="cannot be used"):
            store.list()
        server.start()
        writer.append(curves=losses(6, 7))
        assert writer.flush()
        assert steps_of(store, "a") == list(range(7))
        assert len(writer.problems) == 1
        assert "records are spooled in" in writer.problems[0]


@pytest.mark.server
def test_what_a_stopped_server_never_got_comes_in_when_the_store_is_next_opened(server: PostgresServer) -> None:
    address = server.empty_database()
    store = Store(address)
    writer = store.open_writer(Run(id="a"))
    writer.append(curves=losses(0, 3))
    writer.flush()
    server.stop()
    writer.append(curves=losses(3, 6))
    writer.update(status=Status.FINISHED, stop_reason="the last epoch")
    writer.close()
    store.save(full_run("b"))  # a whole run, as a training saves at its end
    store.close()
    assert any("records are spooled" in problem for problem in store.problems)
    server.start()
    with Store(address) as again:
        run = again.load("a")
        assert (run.status, run.stop_reason) == (Status.FINISHED, "the last epoch")
        assert steps_of(again, "a") == list(range(6))
        assert same(again.load("b"), full_run("b"))


@pytest.mark.server
def test_a_server_that_hangs_does_not_take_the_end_of_the_run_with_it(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_END_SECONDS", 1.0)
    monkeypatch.setattr(forking_module, "_TURN_SECONDS", 0.5)
    address = server.empty_database()
    store = Store(address)
    writer = store.open_writer(Run(id="a"))
    writer.append(curves=losses(0, 3))
    writer.flush()
    with server.frozen():
        writer.append(curves=losses(3, 6))
        time.sleep(0.5)
        writer.append(curves=losses(6, 9))
        writer.update(stop_reason="done")
        begin = time.monotonic()
        store.close()
        store.save(full_run("b"))
        assert time.monotonic() - begin < 30
        assert "does not respond" in writer.problems[-1]
    with Store(address) as again:
        assert steps_of(again, "a") == list(range(9))
        assert again.load("a").stop_reason == "done"
        assert same(again.load("b"), full_run("b"))


@pytest.mark.server
def test_tables_that_somebody_locks_are_not_waited_for(server: PostgresServer) -> None:
    address = server.empty_database()
    with Store(address) as store:
        writer = store.open_writer(Run(id="a"))
        engine = sa.create_engine(address)
        with engine.begin() as holder:
            holder.exec_driver_sql("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
            writer.append(curves=losses(0, 5))
            begin = time.monotonic()
            assert writer.flush()
            assert time.monotonic() - begin < 5
        engine.dispose()
        writer.close()
        assert "lock" in writer.problems[0]
        assert steps_of(store, "a") == list(range(5))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A real disk of two megabytes; skipped where nothing may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_is_really_full_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        store = Store(str(tmp_path / "disk" / "runs"))
        writer = store.open_writer(Run(id="a"))
        (tmp_path / "disk" / "ballast").write_bytes(bytes(1_000_000))
        for step in range(0, 200_000, 10_000):  # 3.2 MB
            writer.append(curves=losses(step, step + 10_000))
            assert writer.flush()
        writer.update(status=Status.FINISHED)
        writer.close()
        assert "full" in writer.problems[0]
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path / "disk")], check=True)
        with Store(str(tmp_path / "disk" / "runs")) as again:
            assert steps_of(again, "a") == list(range(200_000))
            assert again.load("a").status is Status.FINISHED


NO_FILE_GROWS = """
import resource, sys
from babysit.store.store import Store
from babysit.records.run import Run, Status
from babysit.testing.synthetic_runs import losses
store = Store(sys.argv[1])
writer = store.open_writer(Run(id="a"))
writer.append(curves=losses(0, 1000)); writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for step in range(1000, 100_000, 1000):
    writer.append(curves=losses(step, step + 1000))
    if step % 10_000 == 0: assert writer.flush()
import pathlib
print(len(list(pathlib.Path(sys.argv[1]).glob("*.spool.open"))))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.update(status=Status.FINISHED)
store.close()
print(writer.problems)
"""


@pytest.mark.slow
def test_files_that_may_not_grow_any_more_lose_nothing(tmp_path: Path) -> None:
    """As with a quota: the database takes nothing more, and neither does a spool that has grown too long."""
    end = subprocess.run(
        [sys.executable, "-c", NO_FILE_GROWS, str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    assert end.returncode == 0, end.stderr
    assert int(end.stdout.split()[0]) > 0  # there was something that the store could not take
    assert len(list((tmp_path / "runs").glob("*.spool*"))) == 0  # it came in as soon as it could
    with Store(str(tmp_path / "runs")) as store:
        assert steps_of(store, "a") == list(range(100_000))
        assert store.load("a").status is Status.FINISHED


READ_ONLY = """
import os, sqlite3, sys, time
from pathlib import Path
from babysit.store import backend, durable_writer
backend.BUSY_SECONDS, durable_writer._PAUSE_SECONDS = 0.1, 0.0
from babysit.store.store import Store
from babysit.records.run import Run, Status
from babysit.testing.synthetic_runs import losses
folder = Path(sys.argv[1])
Store(str(folder.parent / "other")).close()  # imports what is imported late
if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)  # root may write everywhere
store = Store(str(folder / "runs.sqlite"))
writer = store.open_writer(Run(id="a"))
writer.append(curves=losses(0, 3)); writer.flush()
holder = sqlite3.connect(folder / "runs.sqlite", isolation_level=None)
holder.execute("BEGIN IMMEDIATE")  # what is open stays writable for those who have it open: they let go of it
writer.append(curves=losses(3, 5)); writer.flush()
for path in folder.iterdir(): path.chmod(0o400)
folder.chmod(0o500)
holder.execute("ROLLBACK"); holder.close()
writer.append(curves=losses(5, 8)); writer.update(status=Status.FINISHED); writer.close()
print(*writer.problems, sep="\\n")
try:
    with Store(str(folder / "runs.sqlite")) as reading:
        print("readable", [line.id for line in reading.list()]); reading.annotate("a", notes="read it")
except Exception as problem: print(type(problem).__name__, problem)
folder.chmod(0o700)
for path in folder.iterdir(): path.chmod(0o600)
with Store(str(folder / "runs.sqlite")) as again:
    run = again.load("a")
    print(run.status, run.curves.get("train/loss").steps.tolist())
"""


def test_a_folder_that_becomes_read_only_loses_nothing() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="babysit-read-only-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # root lends it to the user that the program becomes
        (folder / "runs").mkdir(mode=0o700)
        (folder / "temporary").mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder / "runs", 65534, 65534)
            os.chown(folder / "temporary", 65534, 65534)
        end = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(folder / "runs")],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=folder,
            env={
                **os.environ,
                "TMPDIR": str(folder / "temporary"),
            },
        )
        assert end.returncode == 0, end.stderr
        assert "records are spooled in" in end.stdout
        assert "readable ['a']" in end.stdout
        assert "UserError this store is read-only" in end.stdout
        assert end.stdout.splitlines()[-1] == "finished [0, 1, 2, 3, 4, 5, 6, 7]"


def test_a_writer_that_hangs_leaves_the_end_of_the_run_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_END_SECONDS", 0.3)
    go_on = threading.Event()
    real = sink_module.apply

    def hangs(*arguments: object) -> None:
        go_on.wait(20)
        real(*arguments)  # type: ignore[arg-type]

    store = Store(str(tmp_path / "runs"))
    writer = store.open_writer(Run(id="a"))
    writer.append(curves=losses(0, 2))
    writer.flush()
    monkeypatch.setattr(sink_module, "apply", hangs)
    writer.append(curves=losses(2, 4))
    time.sleep(writer_module.COMMIT_SECONDS + 0.3)
    writer.append(curves=losses(4, 6))
    writer.close()
    assert "does not respond" in writer.problems[-1]
    monkeypatch.setattr(sink_module, "apply", real)
    go_on.set()  # it arrives late, and then once more from the spool
    writer._thread.join(20)
    with Store(str(tmp_path / "runs")) as again:
        assert steps_of(again, "a") == list(range(6))
        assert again.problems == ()


def test_memory_stays_bounded_while_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = Store(str(tmp_path / "runs"), megabytes=1)
    writer = store.open_writer(Run(id="a"))
    with monkeypatch.context() as context:
        context.setattr(spool_module, "_add", refuse)
        context.setattr(sink_module, "apply", refuse)
        for step in range(0, 1_000_000, 50_000):  # 16 MB
            writer.append(curves=losses(step, step + 50_000))
            writer.update(stop_reason=f"at {step}")
            assert not writer.flush()
        waiting = sum(len(change.payload) for change in writer._sink._memory if isinstance(change, SegmentRow))
        assert waiting <= 2e6
    writer.close()
    steps = steps_of(store, "a")
    assert (steps[0], steps[-1]) == (0, 999_999)
    assert store.load("a").stop_reason == "at 950000"
    store.close()


def test_what_waits_for_a_slow_store_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MOST_WAITING", 50)
    go_on = threading.Event()
    real = sink_module.apply

    def slow(*arguments: object) -> object:
        go_on.wait(20)
        return real(*arguments)  # type: ignore[arg-type]

    with Store(str(tmp_path / "runs")) as store:
        writer = store.open_writer(Run(id="a"))
        monkeypatch.setattr(sink_module, "apply", slow)
        for step in range(5000):
            writer.append(curves=losses(step, step + 1))
        assert writer._queue.qsize() < 1000
        go_on.set()
        writer.update(stop_reason="done")
        writer.close()
        assert steps_of(store, "a") == list(range(5000))
        assert store.load("a").stop_reason == "done"


def test_joining_keeps_the_order_of_rows_rewinds_and_fields() -> None:
    rows = [Rows(curves=losses(step, step + 1)) for step in range(6)]
    told = [*rows[:3], Truncate(1), SetFields({"name": "a", "kind": "fit"}), SetFields({"name": "b"}), *rows[3:], None]
    made = condensed(told, most_bytes=1e9)
    assert [type(one) for one in made] == [Rows, Truncate, SetFields, Rows, type(None)]
    assert made[2] == SetFields({"name": "b", "kind": "fit"})
    assert isinstance(made[0], Rows)
    assert made[0].curves is not None
    assert made[0].curves.get(TRAIN_LOSS).steps.tolist() == [0, 1, 2]
    wrong = Rows(curves=Curves(series={"x": Series(np.arange(2), np.zeros(3))}))
    assert condensed([rows[0], wrong], most_bytes=1e9) == [rows[0], wrong]


def test_changes_in_memory_keep_what_counts(tmp_path: Path) -> None:
    with Store(str(tmp_path / "runs")) as store:
        sink = DurableWriter(store._backend)
        recorder = ChangeBuilder(Run(id="a"), sink)
        made: list[Change] = [*recorder.beginning(Run(id="a"))]
        for step in range(0, 30_000, 1000):
            made += recorder.changes([Rows(curves=losses(step, step + 1000)), SetFields({"name": str(step)})])
        kept = shrink(made, most_bytes=100_000)
        assert sum(len(change.payload) for change in kept if isinstance(change, SegmentRow)) <= 100_000
        assert [change.sequence for change in kept] == sorted(change.sequence for change in kept)
        sink.write(kept, last=True)
        run = store.load("a")
    assert run.name == "29000"
    assert run.curves.get(TRAIN_LOSS).steps[[0, -1]].tolist() == [0, 29_999]


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_a_training_whose_store_fails_half_way_ends_as_it_would_have(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import sqlite3

    import torch
    from torch import nn

    address = str(tmp_path / "runs.sqlite")
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("server")
        address = server.empty_database()

    def train(store: Store | None, fail: bool) -> list[float]:
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x, y = torch.randn(16, 4), torch.randint(3, (16,))
        writer = store.open_writer(Run(id="watched")) if store is not None else None
        with Monitor(model, optimizer, writer=writer):
            for step in range(300):
                if fail and step == 100:
                    (server.stop if database == "postgresql" else lambda: holder.execute("BEGIN IMMEDIATE"))()
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
                time.sleep(0.002)
        return [float(value) for value in model.weight.detach().ravel()]

    store = Store(address)
    holder = sqlite3.connect(tmp_path / "runs.sqlite", isolation_level=None)
    weights = train(store, fail=True)
    store.close()
    assert any("records are spooled" in problem for problem in store.problems)
    if database == "postgresql":
        server.start()
    else:
        holder.execute("ROLLBACK")
    holder.close()
    assert weights == train(None, fail=False)
    with Store(address) as again:
        assert steps_of(again, "watched") == list(range(300))
        assert again.load("watched").status is Status.FINISHED
        assert again.problems == ()
