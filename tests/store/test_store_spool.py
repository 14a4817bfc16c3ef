import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from babysit.records.curves import TRAIN_LOSS
from babysit.records.run import Run, Status
from babysit.store import backend as place_module
from babysit.store import durable_writer as sink_module
from babysit.store import spool
from babysit.store.backend import Backend, open_backend
from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run, losses, same


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(place_module, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(sink_module, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(sink_module, "_REPORT_SECONDS", 0.0)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept" / "runs.sqlite"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def steps_of(store: Store, run_id: str) -> list[int]:
    return [int(step) for step in store.load(run_id).curves.get(TRAIN_LOSS).steps]


def test_a_locked_store_loses_nothing_and_is_told_once(file: Path) -> None:
    store = Store(str(file))
    writer = store.open_writer(Run(id="a"))
    writer.append(curves=losses(0, 3))
    writer.flush()
    with locked(file):
        for step in range(3, 6):
            writer.append(curves=losses(step, step + 1))
            writer.flush()
        assert steps_of(store, "a") == [0, 1, 2]
        assert len(list(file.parent.glob("*.spool.open"))) == 1
        assert len(writer.problems) == 1
        assert "database is locked" in writer.problems[0]
        assert str(file.parent) in writer.problems[0]
    writer.append(curves=losses(6, 7))
    writer.flush()
    assert steps_of(store, "a") == list(range(7))
    assert list(file.parent.glob("*.spool*")) == []
    store.close()


def test_what_waits_at_the_end_comes_in_when_the_store_is_next_opened(file: Path) -> None:
    store = Store(str(file))
    with locked(file):
        writer = store.open_writer(full_run("a"))
        writer.append(curves=losses(3, 6))
        writer.update(stop_reason="early")
        writer.close()
        store.save(full_run("b"))
        assert store.list() == []
    assert len(list(file.parent.glob("*.spool"))) == 2
    with Store(str(file)) as again:
        run = again.load("a")
        assert run.stop_reason == "early"
        assert steps_of(again, "a") == [0, 1, 2, 3, 4, 5]
        assert same(again.load("b"), full_run("b"))
        assert again.problems == ()
    assert list(file.parent.glob("*.spool*")) == []


def test_a_full_disk_spools_and_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(file))
    full = sqlite3.connect(file).execute("PRAGMA page_count").fetchone()[0] + 4

    def limit(connection: sqlite3.Connection, record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {full}")  # SQLite then says "database or disk is full"

    sa.event.listen(store._backend.engine, "connect", limit)
    writer = store.open_writer(Run(id="a"))
    for step in range(0, 20_000, 1000):
        writer.append(curves=losses(step, step + 1000))
        writer.flush()
    assert "disk is full" in writer.problems[0]
    writer.close()
    with Store(str(file)) as again:
        assert steps_of(again, "a") == list(range(20_000))


def test_records_wait_in_the_temporary_folder_when_the_run_folder_takes_none(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(file))
    real = spool._add

    def refuse(path: Path, frames: bytes) -> None:
        if path.parent == file.parent:
            raise OSError(30, "Read-only file system")
        real(path, frames)

    monkeypatch.setattr(spool, "_add", refuse)
    with locked(file):
        store.save(full_run("a"))
    waiting = list(Path(tempfile.gettempdir()).glob("babysit-spool-*/*.spool"))
    assert len(waiting) == 1
    assert waiting[0].parent.stat().st_mode & 0o077 == 0
    with Store(str(file)) as again:
        assert same(again.load("a"), full_run("a"))


def test_a_temporary_folder_of_someone_else_is_not_trusted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = open_backend(str(file))
    folder, prefix = place.spools.folders[1]
    folder.mkdir()
    (folder / f"{prefix}.bad.spool").write_bytes(b"")
    assert len(list(spool.pending(place))) == 1
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert list(spool.pending(place)) == []


def test_records_wait_in_memory_when_no_disk_takes_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, frames: bytes) -> None:
        raise OSError(28, "No space left on device")

    store = Store(str(file))
    writer = store.open_writer(Run(id="a"))
    with monkeypatch.context() as context:
        context.setattr(spool, "_add", refuse)
        with locked(file):
            writer.append(curves=losses(0, 3))
            assert not writer.flush()
            writer.append(curves=losses(3, 4))
            assert not writer.flush()
        assert "stay in memory" in writer.problems[0]
    writer.append(curves=losses(4, 5))
    assert writer.flush()
    writer.close()
    assert steps_of(store, "a") == [0, 1, 2, 3, 4]
    store.close()


def spooled(file: Path) -> tuple[Backend, Path]:
    store = Store(str(file))
    with locked(file):
        writer = store.open_writer(Run(id="a", status=Status.FINISHED))
        for step in range(4):
            writer.append(curves=losses(step, step + 1))
            writer.flush()
        writer.close()
    (path,) = file.parent.glob("*.spool")
    return store._backend, path


def test_a_spool_cut_off_within_a_write_gives_what_is_whole(file: Path) -> None:
    _, path = spooled(file)
    path.write_bytes(path.read_bytes()[:-9])
    with Store(str(file)) as store:
        assert steps_of(store, "a") == [0, 1, 2]
        assert "are incomplete" in store.problems[0]


def test_a_changed_byte_in_a_spool_is_noticed(file: Path) -> None:
    _, path = spooled(file)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert spool.read(path)[1] > 0


def test_playing_a_spool_twice_changes_nothing(file: Path) -> None:
    _, path = spooled(file)
    copy = path.read_bytes()
    with Store(str(file)) as store:
        writer = store.open_writer(store.load("a"))
        writer.append(curves=losses(4, 5))
        writer.update(stop_reason="resumed")
        writer.close()
        before = store.load("a")
    path.write_bytes(copy)
    with Store(str(file)) as store:
        assert same(store.load("a"), before)
        assert [int(step) for step in before.curves.get(TRAIN_LOSS).steps] == [0, 1, 2, 3, 4]


def test_a_spool_of_a_living_writer_is_left_to_it(file: Path) -> None:
    with Store(str(file)) as store, locked(file):
        writer = store.open_writer(Run(id="a"))
        writer.append(curves=losses(0, 3))
        writer.flush()
        (mine,) = file.parent.glob("*.spool.open")
        assert list(spool.pending(store._backend)) == []
        assert mine.exists()
    with Store(str(file)) as again:
        assert steps_of(again, "a") == [0, 1, 2]


def test_a_spool_that_can_grow_no_more_is_followed_by_another(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun = spool._add, set()

    def once(path: Path, frames: bytes) -> None:
        if path in begun:
            raise OSError(27, "File too large")
        begun.add(path)
        real(path, frames)

    monkeypatch.setattr(spool, "_add", once)
    store = Store(str(file))
    with locked(file):
        writer = store.open_writer(Run(id="a"))
        for step in range(4):
            writer.append(curves=losses(step, step + 1))
            writer.flush()
        store.close()
    assert len(list(file.parent.glob("*.spool"))) == 5
    with Store(str(file)) as again:
        assert steps_of(again, "a") == [0, 1, 2, 3]
        assert again.problems == ()


def test_a_spool_of_a_dead_writer_is_brought_in(file: Path) -> None:
    Store(str(file)).close()
    code = (
        "import os, sys, sqlite3\n"
        "from babysit.store import backend; backend.BUSY_SECONDS = 0.1\n"
        "from babysit.store.store import Store\n"
        "from babysit.records.run import Run\n"
        "from babysit.testing.synthetic_runs import losses\n"
        "store = Store(sys.argv[1]); holder = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "holder.execute('BEGIN IMMEDIATE')\n"
        "writer = store.open_writer(Run(id='a')); writer.append(curves=losses(0, 3)); writer.flush(); os._exit(9)"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False)
    assert answer.returncode == 9, answer.stderr
    assert len(list(file.parent.glob("*.spool.open"))) == 1
    with Store(str(file)) as store:
        assert steps_of(store, "a") == [0, 1, 2]
        assert store.list()[0].status is Status.INTERRUPTED
    assert list(file.parent.glob("*.spool*")) == []


def test_a_spool_of_a_newer_babysit_waits_for_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = spooled(file)
    monkeypatch.setattr(spool, "SCHEMA_VERSION", 0)
    with Store(str(file)) as store:
        assert "newer babysit" in store.problems[0]
        assert store.list() == []
    assert path.exists()
