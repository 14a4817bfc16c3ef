"""`babysit compare`: several runs side by side, as text, as a page or as JSON."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from babysit.cli.files import write_text
from babysit.cli.options import Json, StoreUrl, settle
from babysit.cli.run_folders import open_store, runs_folder
from babysit.cli.terminal import out, say

if TYPE_CHECKING:
    from babysit.reporting.compare import Comparison


def compare(
    *runs: Annotated[str, Parameter(help="Two to six: their ids or the beginnings of them, or `latest`.")],
    format: Annotated[Literal["text", "html", "json"], Parameter(help="How it is written.")] = "text",
    output: Annotated[Path | None, Parameter(help="File to write; `-` is standard output.")] = None,
    open_: Annotated[
        bool, Parameter(name="--open", negative="", show_default=False, help="Show the page in the browser.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Put runs side by side: what came of each, what differs between them, and their curves over each other."""
    from babysit.reporting.compare import compare as put_side_by_side

    settings = settle(store=store)
    with open_store(settings) as kept:
        compared = put_side_by_side([kept.load(run) for run in runs])
    wanted = "json" if json else "html" if open_ else format
    if wanted == "text" and output is None:
        from babysit.reporting.compare_text import compare_renderable

        out().print(compare_renderable(compared))
        return 0
    text = _written(compared, wanted)
    if str(output) == "-" or (output is None and wanted != "html"):
        say(text)
        return 0
    path = output or runs_folder(settings) / f"compare-{'-'.join(run.id for run in compared.runs)}.html"
    write_text(path, text)
    say(str(path))
    if open_:
        webbrowser.open(path.absolute().as_uri())
    return 0


def _written(compared: Comparison, format: str) -> str:
    if format == "html":
        from babysit.reporting.compare_html import compare_html

        return compare_html(compared)
    if format == "json":
        from babysit.reporting.compare_json import compare_json

        return compare_json(compared)
    from babysit.reporting.compare_text import compare_text

    return compare_text(compared)
