"""`babysit report`: report of a run in any format."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from babysit.cli.files import write_text
from babysit.cli.options import Json, RunId, StoreUrl, settle
from babysit.cli.run_folders import open_store, run_folder
from babysit.cli.terminal import say


def report(
    run: RunId = "latest",
    /,
    *,
    format: Annotated[
        Literal["html", "text", "json", "md", "sarif"], Parameter(help="Set the output format.")
    ] = "html",
    output: Annotated[Path | None, Parameter(help="Write to this file; `-` is standard output.")] = None,
    open_: Annotated[
        bool, Parameter(name="--open", negative="", show_default=False, help="Open the page in the browser.")
    ] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Write the report of a run as an offline HTML page, text, JSON, Markdown or SARIF."""
    from babysit.reporting.report import report as render

    settings = settle(store=store)
    with open_store(settings) as run_store:
        found = run_store.load(run)
    wanted = "json" if json else format
    text = render(found, format=wanted)
    if str(output) == "-" or (output is None and wanted != "html"):
        say(text)
        return 0
    path = output or run_folder(settings, found.id) / "report.html"
    write_text(path, text)
    say(str(path))
    if open_:
        webbrowser.open(path.absolute().as_uri())
    return 0
