"""What goes wrong in watching stays in watching: kept as one line a place, never raised into the training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import final

import torch


@final
class Guard:
    """Runs our own work so that nothing of it reaches the training but its time."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell  # called once a place with what went wrong
        self._told: set[str] = set()

    @contextlib.contextmanager
    def unseen(self, where: str) -> Iterator[None]:
        """Our own tensor work: no mode looks at it, and what goes wrong in it stays here."""
        with torch._C.DisableTorchFunction(), self.contained(where):
            yield

    @contextlib.contextmanager
    def contained(self, where: str) -> Iterator[None]:
        """What goes wrong stays here."""
        try:
            yield
        except Exception as problem:
            self.problem(where, problem)

    def problem(self, where: str, problem: BaseException) -> None:
        """Tell of a problem the first time it happens in a place; rule T001 shows it."""
        if where not in self._told:
            self._told.add(where)
            self._tell("measurement_gap", f"{where}: {type(problem).__name__}: {problem}"[:500])
