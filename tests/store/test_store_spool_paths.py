import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from babysit.records.curves import TRAIN_LOSS
from babysit.records.run import Run, Status
from babysit.store import spool
from babysit.store.spool_paths import for_server
from babysit.store.store import Store
from babysit.testing.synthetic_runs import losses
from tools.postgres_server import PostgresServer


def files_of(address: str) -> str:
    target = make_url(address)
    return for_server(target, target.render_as_string(hide_password=True)).folders[0].prefix


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me@db.example.org/runs",
        "postgresql+psycopg://me:secret@db.example.org:5432/runs",
        "postgresql+psycopg://other@DB.example.org/runs?connect_timeout=3",
        "postgresql+psycopg://me@/runs?host=db.example.org&port=5432",
    ],
)
def test_one_database_has_one_place_however_its_address_is_written(address: str) -> None:
    assert files_of(address) == files_of("postgresql+psycopg://me@db.example.org/runs")


@pytest.mark.parametrize("address", ["db.example.org:5433/runs", "db.example.org/others", "example.org/runs"])
def test_other_databases_have_other_places(address: str) -> None:
    assert files_of(f"postgresql+psycopg://{address}") != files_of("postgresql+psycopg://db.example.org/runs")


def test_the_place_of_a_server_does_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make_url("postgresql+psycopg://me@host/runs")
    here = for_server(target, str(target)).folders
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert for_server(target, str(target)).folders == here
    assert here[0].path == tmp_path / "state" / "babysit"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert for_server(target, str(target)).folders[0].path == tmp_path / ".local" / "state" / "babysit"


STOPPED = """
import os, sys
from babysit.records.run import Run
from babysit.store.store import Store
from babysit.testing.synthetic_runs import losses
store = Store(sys.argv[1])
writer = store.open_writer(Run(id="a"))
print(writer.flush(), flush=True)
sys.stdin.readline()
writer.append(curves=losses(0, 6))
print(writer.flush(), flush=True)
writer.close()
"""


@pytest.mark.server
def test_what_waits_for_a_server_is_found_from_another_folder(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.empty_database()
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    running = subprocess.Popen(
        [sys.executable, "-c", STOPPED, address],
        cwd=tmp_path / "one",
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "True\n"
    server.stop()
    assert running.communicate("\n", timeout=90)[0] == "True\n"
    assert not (tmp_path / "one" / "babysit_runs").exists()
    server.start()
    monkeypatch.chdir(tmp_path / "other")
    with Store(address) as store:
        assert len(store.load("a").curves.get(TRAIN_LOSS).steps) == 6
        assert store.problems == ()
        assert list(spool.pending(store._backend)) == []


@pytest.mark.server
def test_what_an_older_babysit_left_in_the_working_directory_is_brought_in(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = server.empty_database()
    with Store(address) as store:
        writer = store.open_writer(Run(id="a", status=Status.FINISHED))
        server.stop()
        writer.append(curves=losses(0, 6))
        writer.close()
        label = store.label
    (waiting,) = (tmp_path / "state" / "babysit").glob("*.spool")
    mark = hashlib.sha256(label.encode()).hexdigest()[:12]
    (tmp_path / "babysit_runs").mkdir()
    waiting.rename(tmp_path / "babysit_runs" / f"{mark}.0-0.spool")
    server.start()
    with Store(address) as store:
        assert len(store.load("a").curves.get(TRAIN_LOSS).steps) == 6
