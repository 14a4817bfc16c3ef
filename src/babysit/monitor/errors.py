"""Error boundary: exceptions in monitoring code are recorded once per place and never raised into the training.

It stands where torch, the user or a thread calls the package: the listeners of torch_events.py, the hooks of
sampled_step.py and evaluation.py, the mode of graph_capture.py, the methods of monitor.py and the thread of
online_judge.py. It catches `Exception` around the package's own code and passes it to `ErrorBoundary.problem`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Final, final

import torch

from babysit.records.errors import ProblemFound
from babysit.records.secrets import without_secrets

_HOME: Final = str(Path(__file__).parent.parent)
_LONGEST: Final = 400  # characters of a message that are kept


@final
class ErrorBoundary:
    """Runs our own work so that nothing of it reaches the training but its time."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell  # called once with what went wrong, or is missing
        self._told: set[tuple[str, str]] = set()
        self.gaps: list[str] = []  # what was reported, kept here too in case reporting fails

    @contextlib.contextmanager
    def unseen(self, where: str) -> Iterator[None]:
        """Our own tensor work: no mode looks at it, and what goes wrong in it stays here."""
        with torch._C.DisableTorchFunction(), self.contained(where):
            yield

    @contextlib.contextmanager
    def contained(self, where: str) -> Iterator[None]:
        """Contain what goes wrong inside the block."""
        try:
            yield
        except Exception as problem:
            self.problem(where, problem)

    def surely(self, where: str, *parts: Callable[[], object]) -> None:
        """Run each part even if others fail, and once more if it failed: every part can be run twice."""
        for part in parts:
            for _ in range(2):
                try:
                    part()
                    break
                except Exception as problem:
                    self.problem(where, problem)

    def problem(self, where: str, problem: BaseException) -> None:
        """Tell of a problem the first time it happens in a place; rule T001 shows it.

        Raises the problem again where it is meant for the training: what the user's handler of a signal raised, and
        `ProblemFound`, for which the user asked.
        """
        if isinstance(problem, ProblemFound) or _raised_by_handler(problem.__traceback__):
            raise problem
        with contextlib.suppress(Exception):
            place = _place(problem.__traceback__)
            if (where, place) not in self._told:
                self._told.add((where, place))
                self.tell(f"{where}: {described(problem)}")

    def tell(self, gap: str) -> None:
        """Say once what could not be measured; rule T001 shows it."""
        if gap not in self.gaps:
            self.gaps.append(gap)
            self._tell("measurement_gap", gap)


def described(problem: BaseException) -> str:
    """Describe an exception and the line of ours that raised it, in one line."""
    try:
        words = without_secrets(str(problem))[:_LONGEST]
    except Exception:
        words = "(its message cannot be read)"
    return f"{type(problem).__name__}: {words}{_place(problem.__traceback__)}"


def _place(trace: TracebackType | None) -> str:
    """Return the innermost line of ours, such as ` (monitor/metric_collector.py, line 90)`; "" where none is known."""
    place = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(_HOME) and file != __file__:
            place = f" ({Path(file).relative_to(_HOME).as_posix()}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _raised_by_handler(trace: TracebackType | None) -> bool:
    """Whether a frame was handed a number and the very frame that it interrupted, as handlers of signals are."""
    while trace is not None and trace.tb_next is not None:
        interrupted, trace = trace.tb_frame, trace.tb_next
        given = tuple(trace.tb_frame.f_locals.values())  # the arguments come first, in their order
        for values in (given, *(value for value in given if isinstance(value, tuple))):
            if any(isinstance(number, int) and one is interrupted for number, one in pairwise(values)):
                return True
    return False
