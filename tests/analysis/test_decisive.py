"""Which training decides the verdict of a program."""

from __future__ import annotations

import pytest

from babysit.analysis.decisive import decisive
from babysit.records.events import Events
from babysit.records.run import Run, Status
from babysit.records.verdict import Verdict


def run(name: str, verdict: Verdict, steps: int = 100, status: Status = Status.FINISHED) -> Run:
    return Run(id=name, verdict=verdict, events=Events(steps=steps), status=status)


HEALTHY, PROBLEMS, INCONCLUSIVE = Verdict.HEALTHY, Verdict.PROBLEMS, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([run("a", HEALTHY), run("b", PROBLEMS), run("c", PROBLEMS)], "b"),
        ([run("a", INCONCLUSIVE, 30), run("b", HEALTHY, 500)], "b"),
        ([run("a", HEALTHY, 500), run("b", INCONCLUSIVE, 40)], "a"),
        ([run("a", HEALTHY, 500), run("b", INCONCLUSIVE, 40, Status.CRASHED)], "b"),
        ([run("a", PROBLEMS), run("b", INCONCLUSIVE, 40, Status.CRASHED)], "a"),
    ],
)
def test_the_first_with_problems_decides_then_an_unfinished_one_then_the_longest(
    runs: list[Run], expected: str
) -> None:
    assert decisive(runs).id == expected


def test_without_a_run_nothing_decides() -> None:
    with pytest.raises(ValueError, match="no run"):
        decisive([])
