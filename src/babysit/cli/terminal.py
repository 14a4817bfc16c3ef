"""Terminal output: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from babysit.records.secrets import without_secrets

# A pipe or a file has no width; do not limit tables in it to rich's default of 80 columns.
PIPE_COLUMNS: Final = 120


def out() -> Console:
    """Return the console for results, on standard output; rich honours NO_COLOR."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console for progress and errors, on standard error."""
    return _console(stderr=True)


@final
class _Console(Console):
    """Console that raises BrokenPipeError; rich would exit and redirect standard output."""

    def on_broken_pipe(self) -> NoReturn:
        """Re-raise the error; rich calls this in its handler."""
        raise  # noqa: PLE0704


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_COLUMNS
    return console


def say(text: str) -> None:
    """Print text to standard output, without wrapping or styles."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show progress bars on standard error, if it is a terminal."""
    console = err()
    words = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # truncate long descriptions, not the numbers
    columns = (
        TextColumn("{task.description}", table_column=words),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, expand=True, disable=not shown) as progress:
        yield progress


def say_problem(message: object) -> None:
    """Print an error as one line on standard error, without wrapping."""
    console = err()
    console.print("babysit:", style="bold red", end=" ", soft_wrap=True)
    console.print(" ".join(without_secrets(str(message)).split()), markup=False, soft_wrap=True)
