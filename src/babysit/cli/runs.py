"""`babysit runs`: list and show runs; subcommands change, export and import them."""

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
for _index, (_part, _path) in enumerate(PARTS_OF_RUNS):
    app.command(_path, name=_part.name, sort_key=_index, help=help_of(_part), help_epilogue=examples_of(_part))

FILTERS: Final = Group("Filters", sort_key=5)

# Maximum length of a cell; full texts are shown by `--json` and `babysit runs RUN`.
_LONGEST_CELL: Final = 48


Status = Literal["", "running", "finished", "interrupted", "crashed", "unreadable"]
Verdict = Literal["", "healthy", "problems", "inconclusive"]
Order = Literal["newest", "oldest", "name", "steps", "result", "size"]


def _filter(help: str) -> Parameter:
    return Parameter(group=FILTERS, negative="", show_default=False, show_choices=False, help=help)


@app.default
def runs(  # noqa: PLR0913  one argument per filter
    run: Annotated[str, Parameter(show_default=False, help="Show this run: an ID, an ID prefix, or `latest`.")] = "",
    /,
    *,
    find: Annotated[str, _filter("Search for text in ID, name, kind, root cause, tags or notes.")] = "",
    kind: Annotated[str, _filter("Filter by kind: watch, fit, search, pipeline, …")] = "",
    status: Annotated[Status, _filter("Filter by status: running, finished, interrupted, crashed or unreadable.")] = "",
    verdict: Annotated[Verdict, _filter("Filter by verdict: healthy, problems or inconclusive.")] = "",
    tag: Annotated[tuple[str, ...], _filter("Filter by tag; can be repeated.")] = (),
    sort: Annotated[Order, Parameter(group=FILTERS, help="Set the order of the list.")] = "newest",
    limit: Annotated[int | None, _filter("Show at most this many runs.")] = None,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """List the recorded runs, or show one as text."""
    from babysit.store.run_query import RunQuery, choose

    if limit is not None and limit < 1:
        raise UserError(f"--limit is {limit}", do="Use --limit 1 or more, or omit it")
    with open_store(settle(store=store)) as run_store:
        if run:
            found = run_store.load(run)
            line = run_store.glance(found.id)[0]
        else:
            summaries = run_store.list()
            chosen = choose(
                summaries,
                RunQuery(text=find, kind=kind, status=status, verdict=verdict, tags=tag, order=sort),
            )[:limit]
    if run:
        _show_one(found, line, json=json)
    elif json:
        say(as_json(chosen))
    elif chosen:
        _show_list(chosen)
    else:
        say(f"None of the {len(summaries)} runs matches." if summaries else _NOTHING)
    return 0


_NOTHING: Final = "There are no runs yet. Start one: babysit run digits"


def as_json(summaries: Sequence[RunSummary]) -> str:
    """Return the summaries as indented JSON."""
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
        say(f"Size     {line.bytes / 1e6:.1f} MB, downsampled: all early steps, fewer later ones")
    say(visible(report(run, format="text")))


def _show_list(summaries: Sequence[RunSummary]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True, overflow="fold")  # an ID is meant for copying: never cut it
    tagged = any(line.tags for line in summaries)
    for title in ("kind", "name", "status", "steps", "result", "root cause", *(["tags"] if tagged else [])):
        table.add_column(title)
    for line in summaries:
        result = "" if line.metric is None else f"{line.metric_name} {line.metric:.4g}"
        found = line.problem or line.root_cause or line.verdict
        tags = [", ".join(line.tags)] if tagged else []
        cells = (line.kind, line.name, line.status, str(line.steps), result, found, *tags)
        # As plain text, not markup: a name can contain brackets.
        table.add_row(Text(visible(line.id)), *(Text(on_one_line(cell, longest=_LONGEST_CELL)) for cell in cells))
    out().print(table)
