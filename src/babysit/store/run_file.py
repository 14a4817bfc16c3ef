"""One run as a file of its own: Parquet or CSV with one row a value, or JSON; and the same run from such a file.

Tables have the columns `part` (curves or layer metrics), `name`, `layer`, `step` and `value`. What a run holds beside
curves and layer metrics stands in the head: the metadata `babysit` of a Parquet file, the first row of a CSV file.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from babysit.records.errors import UserError
from babysit.records.reading import reading, require_file
from babysit.records.run import VERSION, Run
from babysit.store.json_codec import from_plain, to_plain
from babysit.store.run_table import Table, run_of, table_of

# Far above what an export of a run within its usual bound takes (64 MB of rows are some 500 MB as JSON).
MOST_BYTES: Final = 4_000_000_000

FORMATS: Final = ("parquet", "csv", "json")

_FORMAT: Final = "babysit-run"
_FORMAT_VERSION: Final = 1


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """A run with what the user wrote on it."""

    run: Run
    tags: tuple[str, ...] = ()
    notes: str = ""


def write_run(kept: RunFile, path: Path) -> None:
    """Writes a run in the format that the ending of the path names; the file is there whole, or not at all.

    Raises UserError for another ending, for Parquet without pyarrow, and when the file cannot be written.
    """
    write = _WRITERS[_format_of(path)]
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(kept, beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as problem:
        raise UserError(
            f"the run cannot be written: {problem.strerror or problem}", where=str(path), do="Name another file"
        ) from problem


def read_run(path: Path) -> RunFile:
    """The run that a file holds; raises UserError when it holds none, or one of a newer babysit."""
    read = _READERS[_format_of(path)]
    with reading("a run that babysit exported", path, do="Give a file of `babysit runs export`, as it was written"):
        require_file(path, most_bytes=MOST_BYTES)
        return read(path)


def _format_of(path: Path) -> str:
    found = path.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise UserError(
            f"a run is kept as {', '.join(FORMATS)}, not as {path.suffix or 'a file without an ending'}",
            where=str(path),
            do=f"Name it {path.stem or 'run'}.json, for example",
        )
    return found


def _head(kept: RunFile, **more: Any) -> dict[str, Any]:
    return {"format": _FORMAT, "version": _FORMAT_VERSION, "tags": kept.tags, "notes": kept.notes, **more}


def _checked(head: Any) -> dict[str, Any]:
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise ValueError(f"it does not say that it is a {_FORMAT}")
    if head["version"] > _FORMAT_VERSION or head["run"].get("version", 0) > VERSION:
        raise UserError("a newer babysit wrote this file", do="Update babysit to read it")
    return head


def _kept(head: dict[str, Any], run: Run) -> RunFile:
    return RunFile(run=run, tags=tuple(str(tag) for tag in head["tags"]), notes=str(head["notes"]))


def _write_json(kept: RunFile, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_head(kept, run=to_plain(kept.run))), indent=1))


def _read_json(path: Path) -> RunFile:
    head = _checked(msgspec.json.decode(path.read_bytes()))
    return _kept(head, from_plain(head["run"], Run))


def _split(kept: RunFile) -> tuple[str, Table]:
    table = table_of(kept.run.curves, kept.run.layer_metrics)
    fields = to_plain(kept.run)
    del fields["curves"], fields["layer_metrics"]
    return msgspec.json.encode(_head(kept, run=fields, layout=to_plain(table.layout))).decode(), table


def _joined(text: str, table: Callable[[Any], Table]) -> RunFile:
    head = _checked(msgspec.json.decode(text))
    curves, layer_metrics = run_of(table(head["layout"]))
    run = from_plain(head["run"], Run)
    return _kept(head, msgspec.structs.replace(run, curves=curves, layer_metrics=layer_metrics))


def _write_csv(kept: RunFile, path: Path) -> None:
    from babysit.store.run_csv import write_csv

    write_csv(*_split(kept), path)


def _read_csv(path: Path) -> RunFile:
    from babysit.store.run_csv import read_csv

    return _joined(*read_csv(path))


def _write_parquet(kept: RunFile, path: Path) -> None:
    from babysit.store.run_parquet import write_parquet

    write_parquet(*_split(kept), path)


def _read_parquet(path: Path) -> RunFile:
    from babysit.store.run_parquet import read_parquet

    return _joined(*read_parquet(path))


_WRITERS: Final = {"parquet": _write_parquet, "csv": _write_csv, "json": _write_json}
_READERS: Final = {"parquet": _read_parquet, "csv": _read_csv, "json": _read_json}
