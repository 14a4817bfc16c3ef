"""`babysit compare`: comparison of runs as text, HTML page or JSON."""

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
    *runs: Annotated[str, Parameter(help="Compare these two to six runs: IDs, ID prefixes, or `latest`.")],
    format: Annotated[Literal["text", "html", "json"], Parameter(help="Set the output format.")] = "text",
    output: Annotated[Path | None, Parameter(help="Write to this file; `-` is standard output.")] = None,
    open_: Annotated[
        bool, Parameter(name="--open", negative="", show_default=False, help="Open the page in the browser.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Compare two to six runs: results, differences and curves."""
    from babysit.reporting.compare import compare as compare_runs

    settings = settle(store=store)
    with open_store(settings) as run_store:
        compared = compare_runs([run_store.load(run) for run in runs])
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
