from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.records.trial import Rung, Trial, TrialState
from babysit.tuning.executors.base import TrainResult, TrialConfig
from babysit.tuning.halving_schedule import correlations, halving_schedule
from babysit.tuning.settings import Stage
from babysit.tuning.successive_halving import run_bracket
from babysit.tuning.trial_log import TrialLog


class Scripted:
    """An executor whose members reach the metric that is written in them; `dies_at` ends one at that epoch."""

    width = 4
    notes: Sequence[str] = ()

    def __init__(self) -> None:
        self.trained: dict[int, int] = {}
        self.asked: list[list[int]] = []
        self.forgotten: list[int] = []

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        self.asked.append([member.number for member in members])
        for member in reversed(members):  # results come in any order
            self.trained[member.number] = self.trained.get(member.number, 0) + epochs
            dead = self.trained[member.number] >= int(member.parameters.get("dies_at", 1000))
            yield TrainResult(
                number=member.number,
                step=10 * self.trained[member.number],
                costs=(float(member.parameters.get("cost", 1.0)),),
                initial_cost=2.0,
                metric=None if dead else float(member.parameters["goodness"]),
                metric_name="accuracy",
                stopped="loss is NaN" if dead else "",
            )

    def release(self, numbers: Iterable[int]) -> None:
        self.forgotten += numbers

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


def members(goodness: Sequence[float], **more: float) -> list[TrialConfig]:
    return [TrialConfig(number=number, parameters={"goodness": value, **more}) for number, value in enumerate(goodness)]


def climbed(some: Sequence[TrialConfig], epochs: int = 9) -> tuple[list[Trial], Scripted]:
    executor = Scripted()
    rungs = halving_schedule(Stage("coarse", len(some), epochs), len(some), factor=3)
    return run_bracket(some, rungs, executor=executor, trial_log=TrialLog()), executor


def test_the_lectures_stage_is_planned_in_three_rungs_and_says_what_it_costs():
    rungs = halving_schedule(Stage("coarse", 100, 5), 100, factor=3)
    assert rungs.epochs == (1, 2, 5)
    assert rungs.members == (100, 33, 11)
    assert rungs.cost_epochs == 100 + 33 + 33
    assert str(rungs) == (
        "coarse: 100 trials to epoch 1, the best 33 on to 2, the best 11 on to 5; 166 epochs of training in total, "
        "33% of the 500 without halving"
    )


@pytest.mark.parametrize(("trials", "epochs", "factor"), [(100, 5, 1.0), (8, 9, 3.0), (100, 2, 3.0), (1, 1, 3.0)])
def test_too_few_trials_or_epochs_or_a_factor_of_one_mean_no_halving(trials: int, epochs: int, factor: float):
    rungs = halving_schedule(Stage("s", trials, epochs), trials, factor=factor)
    assert (rungs.epochs, rungs.members, rungs.share) == ((epochs,), (trials,), 1.0)


@given(trials=st.integers(1, 2000), epochs=st.integers(1, 300), factor=st.floats(1.0, 6.0))
def test_every_plan_ends_at_the_asked_epoch_and_never_costs_more_than_all(trials: int, epochs: int, factor: float):
    rungs = halving_schedule(Stage("s", trials, epochs), trials, factor=factor)
    assert rungs.epochs[-1] == epochs
    assert rungs.epochs[0] >= 1
    assert list(rungs.epochs) == sorted(set(rungs.epochs))
    assert rungs.members[0] == trials
    assert list(rungs.members) == sorted(rungs.members, reverse=True)
    assert rungs.members[-1] >= 1
    assert rungs.cost_epochs <= trials * epochs
    assert str(rungs)


def test_exactly_the_best_by_rank_go_on_and_the_others_say_where_they_stood():
    trials, executor = climbed(members([number / 27 for number in range(27)]))
    assert [len(asked) for asked in executor.asked] == [27, 9, 3]
    complete = [trial.number for trial in trials if trial.state is TrialState.COMPLETE]
    assert complete == [24, 25, 26]
    assert trials[0].reason == "not among the best 9 of 27 after 1 epoch"
    assert trials[20].reason == "not among the best 3 of 9 after 3 epochs"
    assert trials[0].metric == 0.0
    assert [rung.epochs for rung in trials[26].rungs] == [1, 3, 9]
    assert trials[26].step == 90
    assert set(executor.forgotten) == set(range(27))


def test_ties_are_broken_by_cost_and_then_by_the_earlier_number():
    same = [TrialConfig(number=n, parameters={"goodness": 0.5, "cost": 1.0 if n < 20 else 0.5}) for n in range(27)]
    trials, _ = climbed(same)
    assert [trial.number for trial in trials if trial.state is TrialState.COMPLETE] == [20, 21, 22]
    assert climbed(same)[0] == trials


def test_those_that_diverge_leave_their_place_to_others():
    some = members([1 - number / 27 for number in range(27)])
    some = [
        TrialConfig(number=one.number, parameters={**one.parameters, **({"dies_at": 1.0} if one.number < 3 else {})})
        for one in some
    ]
    trials, executor = climbed(some)
    assert executor.asked[1] == list(range(3, 12))
    assert [trial.reason for trial in trials[:3]] == ["loss is NaN"] * 3
    assert all(trial.metric is None for trial in trials[:3])
    assert [rung.metric for rung in trials[0].rungs] == [None]


def test_when_all_diverge_the_stage_ends_there():
    trials, executor = climbed(members([0.5] * 27, dies_at=1.0))
    assert len(executor.asked) == 1
    assert all(trial.reason == "loss is NaN" for trial in trials)


def test_an_interruption_keeps_where_everyone_stood():
    class Interrupted(Scripted):
        def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
            if self.asked:
                raise KeyboardInterrupt
            yield from Scripted.advance(self, members, epochs=epochs)

    trial_log = TrialLog()
    some = members([number / 27 for number in range(27)])
    with pytest.raises(KeyboardInterrupt):
        run_bracket(
            some, halving_schedule(Stage("coarse", 27, 9), 27, factor=3), executor=Interrupted(), trial_log=trial_log
        )
    assert len(trial_log.trials) == 27
    assert trial_log.trials[26].reason == "interrupted after 1 epoch"
    assert trial_log.trials[26].metric == pytest.approx(26 / 27)


def trial(number: int, *metrics: float) -> Trial:
    rungs = tuple(Rung(epochs=3**place, step=3**place, metric=metric) for place, metric in enumerate(metrics))
    return Trial(number=number, stage="coarse", rungs=rungs, metric=metrics[-1])


def test_rank_correlation_between_rungs_is_told_and_weak_ones_come_with_advice():
    strong = [trial(number, number / 10, 0.5 + number / 10) for number in range(12)]
    assert correlations(strong) == ["coarse: rank correlation +1.00 from epoch 1 to 3 (12 trials)"]
    weak = [trial(number, number / 10, math.sin(7.0 * number)) for number in range(12)]
    assert "use a smaller factor" in correlations(weak)[0]
    assert correlations([trial(number, 0.1) for number in range(12)]) == []
    assert correlations(strong[:4]) == []  # four of them can be in order by chance
