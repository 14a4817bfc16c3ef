"""`babysit runs export` and `import`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from babysit.cli.options import Json, RunId, StoreUrl, settle
from babysit.cli.plain_text import visible
from babysit.cli.run_folders import open_store
from babysit.cli.terminal import progress_bars, say
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from babysit.store.run_file import RunFile
    from babysit.store.store import Store


def export(
    run: RunId,
    /,
    *more: Annotated[str, Parameter(help="Export these runs, too; each to a separate file.")],
    to: Annotated[Path, Parameter(help="Write to this file (.parquet, .csv or .json) or folder.")],
    format: Annotated[
        Literal["parquet", "csv", "json"] | None,
        Parameter(help="Set the format of files in a folder [parquet if pyarrow is installed, else json]."),
    ] = None,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Export runs to files that other programs can read and `babysit runs import` can import."""
    from babysit.store.run_file import RunFile, write_run

    as_folder = not to.suffix or to.is_dir() or len(more) > 0
    if as_folder and to.is_file():
        raise UserError("several runs need a folder, and this is a file", where=str(to), do="Name a folder")
    if not to.parent.is_dir() and not to.is_dir():
        raise UserError("there is no such folder", where=str(to.parent), do="Create it, or choose another path")
    written: list[str] = []
    with open_store(settle(store=store)) as run_store, progress_bars() as progress:
        lines = list({line.id: line for line in (run_store.glance(one)[0] for one in (run, *more))}.values())
        for line in progress.track(lines, description="exporting"):
            path = to / f"{_file_name(line.id)}.{format or _default_format()}" if as_folder else to
            write_run(RunFile(run=run_store.load(line.id), tags=line.tags, notes=line.notes), path)
            written.append(str(path))
    say(msgspec.json.encode({"written": written}).decode() if json else "\n".join(written))
    return 0


def import_(
    file: Annotated[Path, Parameter(help="Import this file of `babysit runs export`, or all files of this folder.")],
    /,
    *more: Annotated[Path, Parameter(help="Import these files, too.")],
    replace: Annotated[
        bool, Parameter(negative="", show_default=False, help="Replace runs that already exist.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Import exported runs from files, with their tags and notes."""
    from babysit.store.run_file import read_run

    files = [path for given in (file, *more) for path in _files(given)]
    ids: list[str] = []
    with open_store(settle(store=store)) as run_store, progress_bars() as progress:
        for path in progress.track(files, description="importing"):
            found = read_run(path)
            _import(found, run_store, path, replace=replace)
            ids.append(found.run.id)
    say(msgspec.json.encode({"imported": ids}).decode() if json else "\n".join(visible(one) for one in ids))
    return 0


def _import(found: RunFile, run_store: Store, path: Path, *, replace: bool) -> None:
    if not replace and any(line.id == found.run.id for line in run_store.list()):
        raise UserError(
            f"run {visible(found.run.id)} already exists", where=str(path), do="Pass --replace to overwrite it"
        )
    run_store.save(found.run, imported=True)
    run_store.annotate(found.run.id, tags=found.tags, notes=found.notes)


def _files(given: Path) -> list[Path]:
    from babysit.store.run_file import FORMATS

    if not given.is_dir():
        return [given]
    found = sorted(path for path in given.iterdir() if path.suffix.lower().removeprefix(".") in FORMATS)
    if not found:
        raise UserError(
            "this folder contains no exported run", where=str(given), do="Name a file of `babysit runs export`"
        )
    return found


def _default_format() -> str:
    from importlib.util import find_spec

    return "parquet" if find_spec("pyarrow") else "json"


def _file_name(run_id: str) -> str:
    return re.sub(r"[^\w.-]", "_", run_id).lstrip(".")[:100] or "run"
