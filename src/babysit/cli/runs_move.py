"""`babysit runs export` and `import`: runs as files, and runs from files."""

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
    *more: Annotated[str, Parameter(help="Others to export with it; each becomes a file of its own.")],
    to: Annotated[Path, Parameter(help="A file that ends in .parquet, .csv or .json, or a folder.")],
    format: Annotated[
        Literal["parquet", "csv", "json"] | None,
        Parameter(help="Of the files in a folder [parquet where pyarrow is installed, else json]."),
    ] = None,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Write runs to files that other programs read and `babysit runs import` brings back."""
    from babysit.store.run_file import RunFile, write_run

    as_folder = not to.suffix or to.is_dir() or len(more) > 0
    if as_folder and to.is_file():
        raise UserError("several runs go into a folder, and this is a file", where=str(to), do="Name a folder")
    if not to.parent.is_dir() and not to.is_dir():
        raise UserError("there is no such folder", where=str(to.parent), do="Make it first, or name another place")
    written: list[str] = []
    with open_store(settle(store=store)) as kept, progress_bars() as progress:
        lines = list({line.id: line for line in (kept.glance(one)[0] for one in (run, *more))}.values())
        for line in progress.track(lines, description="exporting"):
            path = to / f"{_file_name(line.id)}.{format or _usual_format()}" if as_folder else to
            write_run(RunFile(run=kept.load(line.id), tags=line.tags, notes=line.notes), path)
            written.append(str(path))
    say(msgspec.json.encode({"written": written}).decode() if json else "\n".join(written))
    return 0


def import_(
    file: Annotated[Path, Parameter(help="A file of `babysit runs export`, or a folder of them.")],
    /,
    *more: Annotated[Path, Parameter(help="Others to bring in with it.")],
    replace: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also in place of runs that are kept already.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Bring runs in from files: the same runs as were exported, with their tags and notes."""
    from babysit.store.run_file import read_run

    files = [path for given in (file, *more) for path in _files(given)]
    ids: list[str] = []
    with open_store(settle(store=store)) as kept, progress_bars() as progress:
        for path in progress.track(files, description="importing"):
            found = read_run(path)
            _keep(found, kept, path, replace=replace)
            ids.append(found.run.id)
    say(msgspec.json.encode({"imported": ids}).decode() if json else "\n".join(visible(one) for one in ids))
    return 0


def _keep(found: RunFile, kept: Store, path: Path, *, replace: bool) -> None:
    if not replace and any(line.id == found.run.id for line in kept.list()):
        raise UserError(
            f"run {visible(found.run.id)} is kept here already", where=str(path), do="To write over it: --replace"
        )
    kept.save(found.run, imported=True)
    kept.annotate(found.run.id, tags=found.tags, notes=found.notes)


def _files(given: Path) -> list[Path]:
    from babysit.store.run_file import FORMATS

    if not given.is_dir():
        return [given]
    found = sorted(path for path in given.iterdir() if path.suffix.lower().removeprefix(".") in FORMATS)
    if not found:
        raise UserError(
            "no exported run is in this folder", where=str(given), do="Give a file of `babysit runs export`"
        )
    return found


def _usual_format() -> str:
    from importlib.util import find_spec

    return "parquet" if find_spec("pyarrow") else "json"


def _file_name(run_id: str) -> str:
    return re.sub(r"[^\w.-]", "_", run_id).lstrip(".")[:100] or "run"
