"""`babysit runs`: what has been recorded; the commands that change or move runs are parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from cyclopts import App, Group, Parameter
from rich.table import Table
from rich.text import Text

from babysit.cli.catalogue import COMMANDS, PARTS_OF_RUNS, examples_of, help_of
from babysit.cli.options import Json, StoreUrl, settle
from babysit.cli.plain_text import on_one_line, visible
from babysit.cli.run_folders import open_store
from babysit.cli.terminal import out, say
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from babysit.records.run import Run
    from babysit.store.summary import RunSummary

_this = next(command for command in COMMANDS if command.name == "runs")
app: Final = App(name=_this.name, help=help_of(_this), help_epilogue=examples_of(_this), help_format="markdown")
for _place, (_part, _path) in enumerate(PARTS_OF_RUNS):
    app.command(_path, name=_part.name, sort_key=_place, help=help_of(_part), help_epilogue=examples_of(_part))

CHOOSING: Final = Group("Which runs", sort_key=5)

# What is left of a long name or note in a list; the whole of it is in `--json` and `babysit runs RUN`.
_LONGEST_CELL: Final = 48


Status = Literal["", "running", "finished", "interrupted", "crashed", "unreadable"]
Verdict = Literal["", "healthy", "problems", "inconclusive"]
Order = Literal["newest", "oldest", "name", "steps", "result", "size"]


def _asks(help: str) -> Parameter:
    return Parameter(group=CHOOSING, negative="", show_default=False, show_choices=False, help=help)


@app.default
def runs(  # noqa: PLR0913  each option is one question that is asked of the list
    run: Annotated[
        str, Parameter(show_default=False, help="One of them: its id or the beginning of it, or `latest`.")
    ] = "",
    /,
    *,
    find: Annotated[str, _asks("Text in id, name, kind, diagnosis, tags or notes.")] = "",
    kind: Annotated[str, _asks("What it was: watch, fit, search, pipeline, …")] = "",
    status: Annotated[Status, _asks("running, finished, interrupted, crashed or unreadable.")] = "",
    verdict: Annotated[Verdict, _asks("healthy, problems or inconclusive.")] = "",
    tag: Annotated[tuple[str, ...], _asks("With this tag; may be repeated.")] = (),
    sort: Annotated[Order, Parameter(group=CHOOSING, help="Order of the list.")] = "newest",
    limit: Annotated[int | None, _asks("So many at most.")] = None,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """List the recorded runs, or show one as text."""
    from babysit.store.run_query import RunQuery, choose

    if limit is not None and limit < 1:
        raise UserError(f"a list of {limit} runs shows nothing", do="Give --limit 1 or more, or leave it out")
    with open_store(settle(store=store)) as kept:
        if run:
            found = kept.load(run)
            line = kept.glance(found.id)[0]
        else:
            everything = kept.list()
            chosen = choose(
                everything,
                RunQuery(text=find, kind=kind, status=status, verdict=verdict, tags=tag, order=sort),
            )[:limit]
    if run:
        _show_one(found, line, json=json)
    elif json:
        say(as_json(chosen))
    elif chosen:
        _show_list(chosen)
    else:
        say(f"None of the {len(everything)} runs is like that." if everything else _NOTHING)
    return 0


_NOTHING: Final = "No run is kept here yet. Begin one: babysit run digits"


def as_json(summaries: Sequence[RunSummary]) -> str:
    """The summaries as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(summaries), indent=2).decode()


def _show_one(run: Run, line: RunSummary, *, json: bool) -> None:
    from babysit.reporting.report import report

    if json:
        say(report(run, format="json"))
        return
    if line.tags:
        say(f"Tags     {on_one_line(', '.join(line.tags), longest=400)}")
    if line.notes:
        say(f"Notes    {visible(line.notes)}")
    if line.thinned:
        say(f"Kept     {line.bytes / 1e6:.1f} MB of a long run: all steps early, fewer and fewer later on")
    say(visible(report(run, format="text")))


def _show_list(summaries: Sequence[RunSummary]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True, overflow="fold")  # an id is copied, so it is never cut
    tagged = any(line.tags for line in summaries)
    for title in ("kind", "name", "status", "steps", "result", "root_cause", *(["tags"] if tagged else [])):
        table.add_column(title)
    for line in summaries:
        result = "" if line.metric is None else f"{line.metric_name} {line.metric:.4g}"
        found = line.problem or line.root_cause or line.verdict
        tags = [", ".join(line.tags)] if tagged else []
        cells = (line.kind, line.name, line.status, str(line.steps), result, found, *tags)
        # As text, not as rich's markup: a name may hold brackets.
        table.add_row(Text(visible(line.id)), *(Text(on_one_line(cell, longest=_LONGEST_CELL)) for cell in cells))
    out().print(table)
