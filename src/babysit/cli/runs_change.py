"""`babysit runs tag`, `note` and `delete`."""

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
    *tags: Annotated[str, Parameter(help="Add these tags.")],
    remove: Annotated[
        tuple[str, ...], Parameter(negative="", show_default=False, help="Remove this tag; can be repeated.")
    ] = (),
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Add tags to a run, or remove tags."""
    with open_store(settle(store=store)) as run_store:
        before = run_store.glance(run)[0]
        wanted = tuple(dict.fromkeys(one for one in (*before.tags, *tags) if one not in remove))
        run_store.annotate(before.id, tags=wanted)
        line = run_store.glance(before.id)[0]
    tag_text = ", ".join(line.tags) or "no tags"
    _show(line, on_one_line(f"{line.id}: {tag_text}", longest=400), json=json)
    return 0


def note(
    run: RunId,
    text: Annotated[str, Parameter(help="Replace the note by this text; an empty text removes it.")],
    /,
    *,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Set the note of a run."""
    with open_store(settle(store=store)) as run_store:
        found = run_store.glance(run)[0].id
        run_store.annotate(found, notes=text)
        line = run_store.glance(found)[0]
    _show(line, f"{found}: {'noted' if line.notes else 'no note'}", json=json)
    return 0


def delete(
    run: RunId,
    /,
    *more: Annotated[str, Parameter(help="Delete these runs, too.")],
    yes: Annotated[bool, Parameter(negative="", show_default=False, help="Delete without confirmation.")] = False,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Delete runs that are still being written, too.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Delete runs from the store; their files (models, reports) are not deleted."""
    with open_store(settle(store=store)) as run_store:
        lines = list({line.id: line for line in (run_store.line(one) for one in (run, *more))}.values())
        written = [line.id for line in lines if line.status == "running"]
        if written and not force:
            raise UserError(
                f"{', '.join(written)} {'is' if len(written) == 1 else 'are'} still being written",
                do="Stop the training first, or pass --force to delete it with everything it still records",
            )
        if not yes:
            _require_consent(lines)
        for line in lines:
            run_store.delete(line.id)
    ids = [line.id for line in lines]
    say(msgspec.json.encode({"deleted": ids}).decode() if json else f"deleted {', '.join(ids)}")
    return 0


def _require_consent(lines: list[RunSummary]) -> None:
    if not sys.stdin.isatty():
        raise UserError("standard input is not a terminal", do="Pass --yes to confirm")
    for line in lines:
        running = ", still running" if line.status == "running" else ""
        text = f"{line.id}  {on_one_line(f'{line.kind} {line.name}', longest=60)}  {line.steps} steps{running}"
        sys.stderr.write(f"{text}\n")
    sys.stderr.write(f"Delete {'it' if len(lines) == 1 else f'these {len(lines)} runs'} permanently? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was deleted")


def _show(line: RunSummary, text: str, *, json: bool) -> None:
    say(msgspec.json.format(msgspec.json.encode(line), indent=2).decode() if json else text)
