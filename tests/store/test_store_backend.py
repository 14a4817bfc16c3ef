import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from babysit.records.errors import UserError
from babysit.records.run import Run
from babysit.store import backend as place_module
from babysit.store.schema import SCHEMA_VERSION, TABLES, describe
from babysit.store.store import Store


def test_the_default_store_is_a_folder_that_git_ignores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store() as store:
        store.save(Run(id="one"))
        monkeypatch.chdir("/")  # the store stays where it was opened
        store.save(Run(id="two"))
        assert len(store.list()) == 2
    assert (tmp_path / "babysit_runs" / "babysit.sqlite").is_file()
    assert (tmp_path / "babysit_runs" / ".gitignore").read_text() == "*\n"


def test_a_folder_that_was_there_keeps_its_git_settings(tmp_path: Path) -> None:
    Store(str(tmp_path)).close()
    assert not (tmp_path / ".gitignore").exists()


@pytest.mark.parametrize("address", ["runs", "runs/", "runs.sqlite", "sqlite:///runs.sqlite", "sqlite:///deep/er/r.db"])
def test_a_store_may_be_named_by_folder_file_or_address(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(address) as store:
        store.save(Run(id="one"))
        assert str(tmp_path) in store.label
    with Store(address) as store:
        assert [line.id for line in store.list()] == ["one"]


def test_an_unwritable_place_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"cannot write to the store.*file.*use another store"):
        Store(str(tmp_path / "file" / "runs"))


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="Permission denied"):
            Store(str(tmp_path))
    finally:
        tmp_path.chmod(0o700)


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.sqlite"
    file.write_text("shopping list\n" * 400)
    with pytest.raises(UserError, match=r"not a store, or it is damaged.*notes\.sqlite.*Move it away"):
        Store(str(file))
    assert file.read_text() == "shopping list\n" * 400


def test_a_damaged_database_is_told_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite"
    with Store(str(file)) as store:
        for number in range(50):
            store.save(Run(id=f"run-{number}", name="x" * 500))
    content = bytearray(file.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    file.write_bytes(content)

    def read_all() -> None:
        with Store(str(file)) as store:
            for line in store.list():
                store.load(line.id)

    with pytest.raises(UserError, match="damaged"):
        read_all()


def test_tables_of_a_newer_babysit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite"
    Store(str(file)).close()
    with sqlite3.connect(file) as database:
        database.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))
    with pytest.raises(UserError, match=rf"newer babysit.*version {SCHEMA_VERSION + 1}.*Update babysit"):
        Store(str(file))


def test_a_store_that_another_program_holds_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_module, "BUSY_SECONDS", 0.2)
    file = tmp_path / "runs.sqlite"
    with sqlite3.connect(file, isolation_level=None) as holder:
        holder.execute("CREATE TABLE other (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match="locked by another program"):
            Store(str(file))


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("sqlite://", "in-memory store"),
        ("sqlite:///:memory:", "in-memory store"),
        ("nonsense://host/name", "not installed"),
        ("http//:://", "not a valid store address"),
    ],
)
def test_an_address_that_leads_nowhere_is_told(address: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Store(address)


def test_the_schema_page_tells_every_column() -> None:
    page = describe()
    for table in TABLES.sorted_tables:
        assert f"## {table.name}" in page
        for column in table.columns:
            assert column.comment, column
            assert f"| `{column.name}` | {column.type}" in page


@pytest.mark.slow
def test_the_store_works_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from babysit.store.store import Store\n"
        "from babysit.records.run import Run\n"
        "with Store('kept') as store: store.save(Run(id='a')); print(store.list()[0].id)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout == "a\n"
