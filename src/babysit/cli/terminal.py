"""The terminal: results go to standard output, everything on the way there to standard error."""

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

# A pipe or a file has no width; tables in it are not squeezed into the 80 columns of an old terminal.
PIPE_COLUMNS: Final = 120


def out() -> Console:
    """The console of results, on standard output; NO_COLOR is honoured by rich."""
    return _console(stderr=False)


def err() -> Console:
    """The console of progress, boxes and problems, on standard error."""
    return _console(stderr=True)


@final
class _Console(Console):
    """Leaves a reader that went away to its caller; rich would end the process and redirect standard output."""

    def on_broken_pipe(self) -> NoReturn:
        """Let the error go on; rich calls this while it handles it."""
        raise  # noqa: PLE0704


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_COLUMNS
    return console


def say(text: str) -> None:
    """Text for people or programs on standard output, as it is: never wrapped, never styled."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress bars on standard error; nothing is drawn where nobody watches (a pipe, a log, CI)."""
    console = err()
    words = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # what is long gives way to the numbers
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


def say_problem(what: object) -> None:
    """One clear line on standard error, unstyled beyond its first word, never wrapped."""
    console = err()
    console.print("babysit:", style="bold red", end=" ", soft_wrap=True)
    console.print(" ".join(without_secrets(str(what)).split()), markup=False, soft_wrap=True)
