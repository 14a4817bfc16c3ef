"""`babysit runs`: what has been recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table

from babysit.cli.keeping import open_store
from babysit.cli.options import Json, StoreUrl, settle
from babysit.cli.terminal import out, say

if TYPE_CHECKING:
    from babysit.store.summary import RunSummary


def runs(
    run: Annotated[
        str, Parameter(show_default=False, help="One of them: its id or the beginning of it, or `latest`.")
    ] = "",
    /,
    *,
    delete: Annotated[
        bool, Parameter(negative="", show_default=False, help="Remove that run from the store; its files stay.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """List the recorded runs, or show one as text."""
    with open_store(settle(store=store)) as kept:
        if not run:
            summaries = kept.list()
            say(as_json(summaries)) if json else _show(summaries)
            return 0
        found = kept.load(run)
        if delete:
            kept.delete(found.id)
            say(f'{{"deleted": "{found.id}"}}' if json else f"deleted {found.id}")
            return 0
    from babysit.reporting.report import report

    say(report(found, format="json" if json else "text"))
    return 0


def as_json(summaries: Sequence[RunSummary]) -> str:
    """The summaries as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(summaries), indent=2).decode()


def _show(summaries: Sequence[RunSummary]) -> None:
    if not summaries:
        say("No run is kept here yet. Begin one: babysit run digits")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True, overflow="fold")  # an id is copied, so it is never cut
    for title in ("kind", "name", "status", "steps", "result", "diagnosis"):
        table.add_column(title)
    for line in summaries:
        result = "" if line.metric is None else f"{line.metric_name} {line.metric:.4g}"
        # A watched script in which nothing was trained is neither.
        found = line.diagnosis or ("unsure" if line.kind == "watch" and not line.steps else line.verdict)
        table.add_row(line.id, line.kind, line.name, line.status, str(line.steps), result, found)
    out().print(table)
