"""One damaged row costs its own run, and no other."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from babysit.cli.app import main
from babysit.records.curves import Curves, Series
from babysit.records.serialization import to_bytes
from babysit.store.db_errors import UnreadableError
from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run

# What is wrong with the row of a run, or with its parts: SQLite keeps any value in any column.
ROWS = {
    "tags no JSON": ("runs", "tags", "{not json"),
    "tags a number": ("runs", "tags", 5),
    "tags of numbers": ("runs", "tags", "[1, 2]"),
    "tags a blob": ("runs", "tags", b"\xff"),
    "status unknown": ("runs", "status", "zzz"),
    "verdict unknown": ("runs", "verdict", "super"),
    "verdict a number": ("runs", "verdict", 7),
    "name a blob": ("runs", "name", b"\xff\x00\xfe"),
    "notes no UTF-8": ("runs", "notes", "CAST(x'ff41' AS TEXT)"),
    "steps a text": ("runs", "steps", "abc"),
    "metric a text": ("runs", "metric", "abc"),
    "bytes a text": ("runs", "bytes", "many"),
}
LONELY = to_bytes(Curves(series={"train/loss": Series(np.arange(3), np.array([1.0]))}))
PARTS = {
    "no MessagePack": b"\xc1\xff\x00",
    "empty": b"",
    "a text": "text",
    "nested deeply": b"\x91" * 200_000 + b"\xc0",
    "a huge array": b"\xdd\xff\xff\xff\xff",
    "of another type": msgspec.msgpack.encode(5),
}
SEGMENTS = {
    **PARTS,
    "an array cut short": to_bytes(full_run("x").curves)[:-9],
    "steps and values of two lengths": LONELY,
}


@pytest.fixture
def kept(tmp_path):
    with Store(str(tmp_path)) as store:
        store.save(full_run("damaged"))
        store.save(full_run("whole"))
    return tmp_path


@pytest.fixture
def call(capsys):
    def called(*words):
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        return (caught.value.code, *capsys.readouterr())

    return called


def damage(folder: Path, table: str, column: str, value: object, *, where: str) -> None:
    as_it_is = isinstance(value, str) and value.startswith("CAST")
    with closing(sqlite3.connect(folder / "babysit.sqlite")) as connection:
        statement = f"UPDATE {table} SET {column} = {value if as_it_is else '?'} WHERE {where}"
        connection.execute(statement, () if as_it_is else (value,))
        connection.commit()


def assert_the_other_is_well(folder: Path, call) -> None:
    code, out, err = call("runs", "--store", folder)
    assert (code, err) == (0, "")
    assert "whole" in out
    assert call("runs", "whole", "--store", folder)[0] == 0
    assert call("runs", "export", "whole", "--to", folder / "out.json", "--store", folder)[0] == 0
    assert call("report", "whole", "--format", "md", "--store", folder)[0] == 0
    code, _, err = call("runs", "damaged", "--store", folder)
    assert code == 2
    assert "damaged" in err
    assert "This is a bug in babysit" not in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ROWS)
def test_a_damaged_row_is_listed_as_unreadable_with_the_reason(name, kept, call):
    damage(kept, *ROWS[name], where="id = 'damaged'")
    assert_the_other_is_well(kept, call)
    told = {line["id"]: line for line in json.loads(call("runs", "--json", "--store", kept)[1])}
    assert told["damaged"]["status"] == "unreadable"
    assert "is damaged and cannot be read" in told["damaged"]["problem"]
    assert "unreadable" in call("runs", "--store", kept)[1]
    assert told["whole"]["problem"] == ""
    assert call("runs", "delete", "damaged", "--yes", "--store", kept)[0] == 0
    assert [line["id"] for line in json.loads(call("runs", "--json", "--store", kept)[1])] == ["whole"]


@pytest.mark.parametrize("name", PARTS)
def test_a_damaged_part_is_told_where_the_run_is_asked_for(name, kept, call):
    damage(kept, "parts", "payload", PARTS[name], where="run_id = 'damaged' AND name = 'findings'")
    assert_the_other_is_well(kept, call)


@pytest.mark.parametrize("name", SEGMENTS)
def test_a_damaged_segment_is_told_where_the_run_is_asked_for(name, kept, call):
    damage(kept, "segments", "payload", SEGMENTS[name], where="run_id = 'damaged'")
    assert_the_other_is_well(kept, call)


def test_an_id_that_is_no_text_is_listed_and_asked_for_by_nobody(kept):
    damage(kept, "runs", "id", b"\xff\xfe", where="id = 'damaged'")
    with Store(str(kept)) as store:
        assert [line.problem == "" for line in sorted(store.list(), key=lambda line: line.id)] == [False, True]
        assert store.load("whole").id == "whole"
        assert store.load("w").id == "whole"


def test_a_damaged_store_that_is_read_only_lists_the_others(kept, monkeypatch):
    damage(kept, *ROWS["notes no UTF-8"], where="id = 'damaged'")
    monkeypatch.setattr("babysit.store.backend.os.access", lambda path, mode: mode == 4)
    with Store(str(kept)) as store:
        assert {line.id: line.status for line in store.list()}["damaged"] == "unreadable"
        with pytest.raises(UnreadableError, match="is damaged"):
            store.glance("damaged")
