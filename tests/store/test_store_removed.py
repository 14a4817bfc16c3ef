import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from babysit.records.curves import TRAIN_LOSS
from babysit.records.run import Run, Status
from babysit.store import durable_writer as sink_module
from babysit.store import spool
from babysit.store.rows import SegmentRow
from babysit.store.schema import RUNS
from babysit.store.spool import Spool
from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run, losses


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sink_module, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(sink_module, "_REPORT_SECONDS", 0.0)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def removed(file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


def moved_aside(file: Path) -> None:
    (file.parent / "aside").mkdir()
    for path in file.parent.glob(f"{file.name}*"):
        path.rename(file.parent / "aside" / path.name)


def with_its_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def steps_of(store: Store, run_id: str) -> list[int]:
    return [int(step) for step in store.load(run_id).curves.get(TRAIN_LOSS).steps]


@pytest.mark.parametrize("gone", [removed, moved_aside, with_its_folder])
def test_a_run_goes_on_in_the_store_that_others_make_in_place_of_a_removed_one(
    tmp_path: Path, gone: Callable[[Path], None]
) -> None:
    file = tmp_path / "kept" / "runs.sqlite"
    store = Store(str(file))
    writer = store.open_writer(full_run("a"))
    writer.update(stop_reason="not yet")
    writer.append(curves=losses(6, 20))
    assert writer.flush()
    gone(file)
    writer.append(curves=losses(20, 30))
    assert writer.flush()  # beside the store
    with Store(str(file)) as other:  # another program makes the file anew
        assert other.list() == []
    writer.append(curves=losses(30, 40))
    assert writer.flush()
    with Store(str(file)) as other:
        assert steps_of(other, "a") == list(range(20, 40))
        run = other.load("a")
    assert (run.model_summary, run.stop_reason) == (full_run("a").model_summary, "not yet")
    writer.update(status=Status.FINISHED)
    writer.close()
    store.close()
    assert "was removed or replaced" in "\n".join(store.problems)
    with Store(str(file)) as other:
        assert other.load("a").status is Status.FINISHED


@pytest.mark.parametrize("gone", [removed, moved_aside, with_its_folder])
def test_a_run_whose_store_was_removed_is_there_when_it_is_next_opened(
    tmp_path: Path, gone: Callable[[Path], None]
) -> None:
    file = tmp_path / "kept" / "runs.sqlite"
    with Store(str(file)) as store:
        writer = store.open_writer(Run(id="a", name="first"))
        writer.append(curves=losses(0, 20))
        assert writer.flush()
        gone(file)
        writer.append(curves=losses(20, 30))
        writer.update(status=Status.FINISHED)
    with Store(str(file)) as store:
        assert steps_of(store, "a") == list(range(20, 30))
        assert (store.load("a").name, store.load("a").status) == ("first", Status.FINISHED)
        assert store.problems == ()


def test_a_store_put_in_place_of_another_is_written_at_once(tmp_path: Path) -> None:
    file, other = tmp_path / "kept" / "runs.sqlite", tmp_path / "other" / "runs.sqlite"
    Store(str(other)).close()
    store = Store(str(file))
    writer = store.open_writer(Run(id="a"))
    removed(file)
    os.replace(other, file)
    writer.append(curves=losses(0, 5))
    writer.close()
    store.close()
    with Store(str(file)) as again:
        assert steps_of(again, "a") == [0, 1, 2, 3, 4]


def test_a_run_deleted_while_its_store_could_not_be_written_stays_deleted(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "runs.sqlite"
    store = Store(str(file))
    writer = store.open_writer(Run(id="a"))
    writer.append(curves=losses(0, 5))
    assert writer.flush()
    with closing(sqlite3.connect(file)) as waits:
        waits.execute("ALTER TABLE segments RENAME TO elsewhere")
        waits.commit()
        writer.append(curves=losses(5, 9))
        writer.close()
        store.close()
        waits.execute("ALTER TABLE elsewhere RENAME TO segments")
        waits.commit()
    (waiting,) = file.parent.glob("*.spool")
    held = waiting.rename(tmp_path / "held")
    with Store(str(file)) as again:
        again.delete("a")
    held.rename(waiting)
    with Store(str(file)) as again:
        assert again.list() == []
        assert again.problems == ()
    assert not waiting.exists()


def test_records_of_a_run_that_nobody_began_here_are_told_and_left(tmp_path: Path) -> None:
    with Store(str(tmp_path)) as store:
        waiting = Spool(store._backend)
        waiting.append([SegmentRow("lost", 1, "w", "curves", b"")])
        waiting.close()
    with Store(str(tmp_path)) as store:
        assert "their run lost is not in this store" in store.problems[0]
        assert len(list(spool.pending(store._backend))) == 1


def test_a_run_may_be_kept_again_after_it_was_deleted_though_the_clock_went_back(tmp_path: Path) -> None:
    with Store(str(tmp_path)) as store:
        store.save(Run(id="a"))
        with store._backend.writing() as connection:
            connection.execute(RUNS.update().values(sequence=2**62))
        store.delete("a")
        store.save(Run(id="a", name="again"))
        assert store.load("a").name == "again"
        with store._backend.reading() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM deleted")) == 0
