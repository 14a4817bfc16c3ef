"""Files that others wrote: whatever is wrong with one is one line, soon, and in little memory."""

from __future__ import annotations

import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from babysit.cli.settings import load_settings
from babysit.records.errors import UserError
from babysit.records.reading import reading
from babysit.store import run_file
from babysit.store.run_file import RunFile, read_run, write_run
from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run

SEEDS = range(12)


def frame(payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


HEAD = frame(msgspec.msgpack.encode({"schema": 3, "owner": {"machine": "x", "process": 1, "started": "1"}}))


def settings_in(path: Path) -> object:
    return load_settings(path.parent, {})


def spool_at(path: Path) -> object:
    with Store(str(path.parent)) as store:
        if store.problems:
            raise UserError(store.problems[0])
    return None


def contents(tmp_path: Path) -> dict[str, tuple[Callable[[Path], object], bytes]]:
    """Every reader of files of others, under the name that its file has, with a file as it should be."""
    found: dict[str, tuple[Callable[[Path], object], bytes]] = {}
    for end in ("json", "csv", "parquet"):
        write_run(RunFile(run=full_run("a"), tags=("t",), notes="n"), tmp_path / f"ok.{end}")
        found[f"run.{end}"] = (read_run, (tmp_path / f"ok.{end}").read_bytes())
    found["babysit.toml"] = (settings_in, b'select = ["O201"]\n[limits.dead-relu]\nshare = 0.5\n')
    found["pyproject.toml"] = (settings_in, b'[tool.babysit]\nfail-on = "ERROR"\nthreads = 2\n')
    found["babysit.sqlite.abc-0.spool"] = (spool_at, HEAD + frame(msgspec.msgpack.encode([])))
    return found


def mutated(content: bytes, seed: int) -> bytes:
    """The content with some bytes changed, cut off, doubled, or put out of place."""
    chance = random.Random(seed)
    made = bytearray(content)
    for _ in range(chance.choice((1, 3, 30))):
        made[chance.randrange(len(made))] = chance.randrange(256)
    at = chance.randrange(len(made))
    return bytes((made, made[:at], made + made[at:], made[at:] + made[:at])[seed % 4])


def is_read(read: Callable[[Path], object], path: Path) -> bool:
    """Whether it is read; otherwise it is refused in one line."""
    try:
        read(path)
    except UserError as problem:
        assert len(str(problem).splitlines()) == 1  # noqa: PT017
        return False
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_files_are_read_or_refused_in_one_line(seed, tmp_path):
    read_at_all = []
    for place, (name, (read, content)) in enumerate(contents(tmp_path).items()):
        path = tmp_path / str(place) / name
        path.parent.mkdir()
        path.write_bytes(content)
        assert is_read(read, path), "as it should be"
        for turn in range(4):
            path.write_bytes(mutated(content, 100 * seed + turn))
            read_at_all.append(is_read(read, path))
    assert not all(read_at_all), "some of the damage shows"


@pytest.mark.parametrize(
    "name", ["run.json", "run.csv", "run.parquet", "babysit.sqlite.abc-0.spool", "babysit.sqlite.abc-0.spool.open"]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_before_it_is_opened(name, kind, tmp_path):
    path = tmp_path / "in" / name
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)  # to open it would wait for good
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(UserError, match="not a regular file"):
        (read_run if name.startswith("run") else spool_at)(path)


def test_a_file_beyond_all_measure_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write_run(RunFile(run=full_run("a")), tmp_path / "run.json")
    monkeypatch.setattr(run_file, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="the limit is 10"):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize(
    "text",
    [
        "tool = 5", "tool = [1]", "[tool]\nbabysit = 5", "[tool]\nbabysit = 'x'", "[tool]\nbabysit = [1]",
        "[tool.babysit]\nthreads = " + "9" * 5000, "a = " + "[" * 5000 + "]" * 5000, ".".join(["a"] * 3000) + " = 1",
        "[tool.babysit]\nlimits = [1]", "\0",
    ],
)  # fmt: skip
def test_settings_of_the_wrong_kind_are_one_line(text, tmp_path):
    (tmp_path / "pyproject.toml").write_text(text)
    try:
        load_settings(tmp_path, {})
    except UserError as problem:
        assert len(str(problem).splitlines()) == 1  # noqa: PT017
    else:
        assert text.startswith("a.a")  # deep keys of another table are nobody's business here


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.update(run=None),
        lambda head: head.update(run=[]),
        lambda head: head.update(version="x"),
        lambda head: head.update(version=None),
        lambda head: head.update(tags=5),
        lambda head: head["run"].update(version="9"),
        lambda head: head["run"].update(trials=[{"number": 10**30}]),
        lambda head: head["run"].update(artifacts=5),
        lambda head: head["run"]["curves"]["series"].update(
            x={"steps": {"dtype": "<i8", "shape": [1], "values": [10**30]}, "values": {}}
        ),
        lambda head: head["run"]["curves"]["series"].update(
            x={"steps": {"dtype": "O", "shape": [1], "values": [1]}, "values": {}}
        ),
    ],
)
def test_a_json_file_with_values_of_the_wrong_kind_is_refused(change, tmp_path):
    write_run(RunFile(run=full_run("a")), tmp_path / "run.json")
    head = json.loads((tmp_path / "run.json").read_text())
    change(head)
    (tmp_path / "run.json").write_text(json.dumps(head))
    with pytest.raises(UserError):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize("content", [b"[" * 100_000 + b"]" * 100_000, b"[]", b"null", b"", b"\xff\xfe"])
def test_a_json_file_of_another_form_is_refused(content, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize("rows", [10**9, 10**11, 10**30, -1, "x"])
def test_a_table_that_speaks_of_rows_that_are_not_there_is_refused_at_once(rows, tmp_path):
    import csv

    write_run(RunFile(run=full_run("a")), tmp_path / "run.csv")
    csv.field_size_limit(10**9)
    with (tmp_path / "run.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    head = json.loads(lines[1][4])
    head["layout"]["blocks"][0][2 if isinstance(head["layout"]["blocks"][0], list) else "rows"] = rows
    lines[1][4] = json.dumps(head)
    with (tmp_path / "run.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    with pytest.raises(UserError):
        read_run(tmp_path / "run.csv")


@pytest.mark.parametrize(
    "problem", [RecursionError(), MemoryError(), OverflowError("too large"), KeyError("x"), OSError(5, "I/O error")]
)
def test_every_kind_of_fault_becomes_a_line_that_names_the_file(problem, tmp_path):
    with pytest.raises(UserError) as caught, reading("this", tmp_path / "file"):
        raise problem
    assert str(tmp_path / "file") in str(caught.value)


def test_ctrl_c_is_no_fault_of_a_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), reading("this", tmp_path):
        raise KeyboardInterrupt
