"""`babysit report`: one run as a page, as text or as JSON."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from babysit.cli.keeping import open_store, runs_folder
from babysit.cli.options import Json, StoreUrl, settle
from babysit.cli.terminal import say
from babysit.records.problem import UserError


def report(  # noqa: PLR0913  each is an option of the command line
    run: str = "latest",
    /,
    *,
    format: Literal["html", "text", "json"] = "html",
    output: Path | None = None,
    open_: Annotated[bool, Parameter(name="--open", negative="")] = False,
    json: Json = False,
    store: StoreUrl = None,
) -> int:
    """Write the report of a run: one page that opens offline, text, or JSON.

    Examples:

        $ babysit report latest --open
        $ babysit report 20250314 --output monday.html
        $ babysit report latest --format text

    Args:
        run: Its id or the beginning of it, or `latest`.
        format: html is written to a file; text and json go to standard output unless there is an output.
        output: File to write; `-` is standard output.
        open_: Show the page in the browser.
    """
    from babysit.reporting.report import report as render

    settings = settle(store=store)
    with open_store(settings) as kept:
        found = kept.load(run)
    wanted = "json" if json else format
    text = render(found, format=wanted)
    if str(output) == "-" or (output is None and wanted != "html"):
        say(text)
        return 0
    path = output or runs_folder(settings) / found.id / "report.html"
    write_text(path, text)
    say(str(path))
    if open_:
        webbrowser.open(path.absolute().as_uri())
    return 0


def write_text(path: Path, text: str) -> None:
    """Write a file, making its folder. Raises UserError when that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise UserError(
            f"the file cannot be written: {problem.strerror}", where=str(path), do="Name another with --output"
        ) from problem
