"""`babysit runs tag`, `note` and `delete`: what the user says of runs, and which need not be kept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from babysit.cli.options import Json, RunId, StoreUrl, settle
from babysit.cli.plain_text import on_one_line
from babysit.cli.run_folders import open_store
from babysit.cli.terminal import say
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from babysit.store.summary import RunSummary


def tag(
    run: RunId,
    /,
    *tags: Annotated[str, Parameter(help="Words to remember it by.")],
    remove: Annotated[
        tuple[str, ...], Parameter(negative="", show_default=False, help="A tag to take away; may be repeated.")
    ] = (),
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Put tags on a run, or take some away."""
    with open_store(settle(store=store)) as kept:
        before = kept.glance(run)[0]
        wanted = tuple(dict.fromkeys(one for one in (*before.tags, *tags) if one not in remove))
        kept.annotate(before.id, tags=wanted)
        line = kept.glance(before.id)[0]
    said = ", ".join(line.tags) or "no tags"
    _tell(line, on_one_line(f"{line.id}: {said}", longest=400), json=json)
    return 0


def note(
    run: RunId,
    text: Annotated[str, Parameter(help="What to remember; in place of what was noted before, and empty for nothing.")],
    /,
    *,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Write a note on a run."""
    with open_store(settle(store=store)) as kept:
        found = kept.glance(run)[0].id
        kept.annotate(found, notes=text)
        line = kept.glance(found)[0]
    _tell(line, f"{found}: {'noted' if line.notes else 'no note'}", json=json)
    return 0


def delete(
    run: RunId,
    /,
    *more: Annotated[str, Parameter(help="Others to delete with it.")],
    yes: Annotated[bool, Parameter(negative="", show_default=False, help="Do not ask.")] = False,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also runs that are still being written.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Remove runs from the store; their files (models, reports) stay."""
    with open_store(settle(store=store)) as kept:
        lines = list({line.id: line for line in (kept.line(one) for one in (run, *more))}.values())
        written = [line.id for line in lines if line.status == "running"]
        if written and not force:
            raise UserError(
                f"{', '.join(written)} {'is' if len(written) == 1 else 'are'} still being written",
                do="End what writes it first; to delete it all the same, and what it still records: --force",
            )
        if not yes:
            _require_consent(lines)
        for line in lines:
            kept.delete(line.id)
    ids = [line.id for line in lines]
    say(msgspec.json.encode({"deleted": ids}).decode() if json else f"deleted {', '.join(ids)}")
    return 0


def _require_consent(lines: list[RunSummary]) -> None:
    if not sys.stdin.isatty():
        raise UserError("nobody is here to be asked whether to delete", do="Say it at once: --yes")
    for line in lines:
        running = ", which still runs" if line.status == "running" else ""
        told = f"{line.id}  {on_one_line(f'{line.kind} {line.name}', longest=60)}  {line.steps} steps{running}"
        sys.stderr.write(f"{told}\n")
    sys.stderr.write(f"Delete {'it' if len(lines) == 1 else f'these {len(lines)} runs'} for good? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was deleted")


def _tell(line: RunSummary, text: str, *, json: bool) -> None:
    say(msgspec.json.format(msgspec.json.encode(line), indent=2).decode() if json else text)
