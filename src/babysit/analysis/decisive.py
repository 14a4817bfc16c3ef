"""The training of a program that decides its verdict."""

from __future__ import annotations

from collections.abc import Sequence

from babysit.records.run import Run, Status
from babysit.records.verdict import Verdict


def decisive(runs: Sequence[Run]) -> Run:
    """Return the first run with problems; without any the last if it did not finish, else the one with most steps.

    A problem in an early training affects those that build on it, so the first comes before the worst.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("no run")
    problems = next((run for run in runs if run.verdict is Verdict.PROBLEMS), None)
    if problems is not None:
        return problems
    return runs[-1] if runs[-1].status is not Status.FINISHED else max(runs, key=lambda run: run.events.steps)
