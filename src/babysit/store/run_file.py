"""Export and import of a run as a file: Parquet or CSV with one row per value, or JSON.

Tables have the columns `part` (curves or layer metrics), `name`, `layer`, `step` and `value`. All other fields are in
the header: the metadata `babysit` of a Parquet file, the first row of a CSV file.
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

# Far above the export of a run within the default size limit (64 MB of rows are some 500 MB as JSON).
MOST_BYTES: Final = 4_000_000_000

FORMATS: Final = ("parquet", "csv", "json")

_FORMAT: Final = "babysit-run"
_FORMAT_VERSION: Final = 1


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """A run with the user's tags and notes."""

    run: Run
    tags: tuple[str, ...] = ()
    notes: str = ""


def write_run(content: RunFile, path: Path) -> None:
    """Write a run atomically in the format of the path's suffix.

    Raises UserError for an unknown suffix, for Parquet without pyarrow, and if the file cannot be written.
    """
    write = _WRITERS[_format_of(path)]
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(content, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as problem:
        raise UserError(
            f"the run cannot be written: {problem.strerror or problem}", where=str(path), do="Use another file"
        ) from problem


def read_run(path: Path) -> RunFile:
    """Read a run from a file. Raises UserError if it holds none, or one of a newer babysit."""
    read = _READERS[_format_of(path)]
    with reading("a run exported by babysit", path, do="Use an unchanged file of `babysit runs export`"):
        require_file(path, most_bytes=MOST_BYTES)
        return read(path)


def _format_of(path: Path) -> str:
    found = path.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise UserError(
            f"a run is exported as {', '.join(FORMATS)}, not as {path.suffix or 'a file without a suffix'}",
            where=str(path),
            do=f"Name it {path.stem or 'run'}.json, for example",
        )
    return found


def _head(content: RunFile, **more: Any) -> dict[str, Any]:
    return {"format": _FORMAT, "version": _FORMAT_VERSION, "tags": content.tags, "notes": content.notes, **more}


def _checked(head: Any) -> dict[str, Any]:
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT}")
    if head["version"] > _FORMAT_VERSION or head["run"].get("version", 0) > VERSION:
        raise UserError("a newer babysit wrote this file", do="Update babysit to read it")
    return head


def _run_file(head: dict[str, Any], run: Run) -> RunFile:
    return RunFile(run=run, tags=tuple(str(tag) for tag in head["tags"]), notes=str(head["notes"]))


def _write_json(content: RunFile, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_head(content, run=to_plain(content.run))), indent=1))


def _read_json(path: Path) -> RunFile:
    head = _checked(msgspec.json.decode(path.read_bytes()))
    return _run_file(head, from_plain(head["run"], Run))


def _split(content: RunFile) -> tuple[str, Table]:
    table = table_of(content.run.curves, content.run.layer_metrics)
    fields = to_plain(content.run)
    del fields["curves"], fields["layer_metrics"]
    return msgspec.json.encode(_head(content, run=fields, layout=to_plain(table.layout))).decode(), table


def _joined(text: str, table: Callable[[Any], Table]) -> RunFile:
    head = _checked(msgspec.json.decode(text))
    curves, layer_metrics = run_of(table(head["layout"]))
    run = from_plain(head["run"], Run)
    return _run_file(head, msgspec.structs.replace(run, curves=curves, layer_metrics=layer_metrics))


def _write_csv(content: RunFile, path: Path) -> None:
    from babysit.store.run_csv import write_csv

    write_csv(*_split(content), path)


def _read_csv(path: Path) -> RunFile:
    from babysit.store.run_csv import read_csv

    return _joined(*read_csv(path))


def _write_parquet(content: RunFile, path: Path) -> None:
    from babysit.store.run_parquet import write_parquet

    write_parquet(*_split(content), path)


def _read_parquet(path: Path) -> RunFile:
    from babysit.store.run_parquet import read_parquet

    return _joined(*read_parquet(path))


_WRITERS: Final = {"parquet": _write_parquet, "csv": _write_csv, "json": _write_json}
_READERS: Final = {"parquet": _read_parquet, "csv": _read_csv, "json": _read_json}
