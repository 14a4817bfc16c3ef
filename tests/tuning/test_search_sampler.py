from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest

from babysit.records.errors import UserError
from babysit.records.trial import Rung, Trial, TrialState, Value
from babysit.tuning.sampler import (
    SAMPLERS,
    add_known_trials,
    grid,
    holds,
    learns_from,
    new_study,
    propose,
    report_result,
    turns,
)
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Categorical, Range, Space
from babysit.tuning.space_parser import read_space
from babysit.tuning.stages import next_space, plan_in_words, plans

SPACE = Space({"lr": Range(1e-4, 1e-1), "weight_decay": Range(1e-6, 1e-2), "hidden": Categorical((32, 64))})
CONDITIONAL = read_space("optimizer=sgd,adam momentum=0.5..0.99@optimizer=sgd lr=1e-4..1e-1")


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_inside_the_space_and_the_same_again_for_the_same_seed(name: str):
    def drawn(seed: int) -> list[dict[str, object]]:
        study = new_study(SPACE, name, seed=seed, trials=8)
        asked = []
        for _ in range(8):
            (trial,) = propose(study, SPACE, 1)
            study.tell(trial, -abs(np.log10(trial.params["lr"]) + 3))
            asked.append(dict(trial.params))
        return asked

    first = drawn(3)
    assert first == drawn(3)
    assert all(1e-4 <= trial["lr"] <= 1e-1 and trial["hidden"] in (32, 64) for trial in first)
    if name != "grid":
        assert first != drawn(4)


def test_random_draws_are_even_per_factor_of_ten():
    study = new_study(SPACE, seed=0, trials=600)
    lrs = np.log10([trial.params["lr"] for trial in propose(study, SPACE, 600)])
    for low in (-4, -3, -2):
        assert abs(np.mean((lrs >= low) & (lrs < low + 1)) - 1 / 3) < 0.06


def test_a_grid_takes_no_more_points_than_allowed_and_reaches_both_ends():
    points = grid(SPACE, 20)
    assert len(points) == 18  # 3 x 3 x 2
    assert sorted({point["lr"] for point in points}) == pytest.approx([1e-4, 10**-2.5, 1e-1])
    assert {point["hidden"] for point in points} == {32, 64}
    assert len({tuple(point.values()) for point in points}) == 18


def test_the_known_configuration_is_proposed_first():
    known = {"lr": 0.01, "weight_decay": 1e-3, "hidden": 64}
    for name in SAMPLERS:
        study = new_study(SPACE, name, seed=0, trials=4, known=known)
        assert propose(study, SPACE, 1)[0].params == known


def test_an_unknown_sampler_is_named_with_the_known_ones():
    with pytest.raises(UserError, match="random, grid, qmc, tpe"):
        new_study(SPACE, "genetic", seed=0, trials=1)


def test_optunas_verbosity_is_left_as_it_was():
    before = optuna.logging.get_verbosity()
    new_study(SPACE, seed=0, trials=1)
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_leaves_out_what_does_not_exist(sampler: str):
    study = new_study(CONDITIONAL, sampler, seed=0, trials=24)
    asked = propose(study, CONDITIONAL, 24)
    assert {trial.params["optimizer"] for trial in asked} == {"sgd", "adam"}
    for trial in asked:
        assert holds(CONDITIONAL, trial.params)
        assert ("momentum" in trial.params) == (trial.params["optimizer"] == "sgd")


def test_the_gaussian_process_finds_the_peak_and_refuses_more_trials_than_it_can_propose_in_time():
    space = read_space("lr=1e-5..1e-1")
    study = new_study(space, "gp", seed=0, trials=24)
    number = 0
    for count in turns("gp", 24, 1):
        for trial in propose(study, space, count):
            metric = -abs(math.log10(trial.params["lr"]) + 3)
            report_result(study, trial, ended(number, trial.params, metric))
            number += 1
    late = [trial.params["lr"] for trial in study.trials[-8:]]
    assert sum(3e-4 < lr < 3e-3 for lr in late) >= 5
    with pytest.raises(UserError, match="too slow for 65 trials"):
        new_study(space, "gp", seed=0, trials=65)


def ended(number: int, parameters: dict[str, Any], metric: float | None, *, level: int = 1) -> Trial:
    return Trial(
        number=number,
        stage="coarse",
        parameters=parameters,
        state=TrialState.PRUNED if metric is None else TrialState.COMPLETE,
        reason="loss is NaN" if metric is None else "",
        metric=metric,
        rungs=(Rung(epochs=level, step=level, metric=metric),),
    )


@pytest.mark.parametrize("seed", range(3))
def test_fewer_than_15_percent_of_the_second_generation_diverge(seed: int):
    # Learning rates above 1e-1 diverge: a third of the range. The metric rises toward that border.
    space = read_space("lr=1e-5..1e1 weight_decay=1e-6..1e-2")
    first = new_study(space, "random", seed=seed, trials=32)
    known = [
        ended(number, dict(trial.params), None if trial.params["lr"] > 0.1 else math.log10(trial.params["lr"]))
        for number, trial in enumerate(propose(first, space, 32))
    ]
    assert sum(trial.metric is None for trial in known) >= 5
    narrowed, _ = next_space(space, known, known=known)
    second = new_study(narrowed, "tpe", seed=seed, trials=32)
    add_known_trials(second, known, narrowed, level=1)
    lrs: list[float] = []
    for count in turns("tpe", 32, 1):
        for trial in propose(second, narrowed, count):
            lr = trial.params["lr"]
            report_result(second, trial, ended(32 + len(lrs), dict(trial.params), None if lr > 0.1 else math.log10(lr)))
            lrs.append(lr)
    assert sum(lr > 0.1 for lr in lrs) / 32 < 0.15


def test_what_is_carried_over_is_comparable_only():
    space = read_space("lr=1e-5..1e-1")
    study = new_study(space, "tpe", seed=0, trials=8)
    outside = ended(0, {"lr": 1.0}, 0.9)
    short = ended(1, {"lr": 1e-3}, 0.9, level=1)
    same = ended(2, {"lr": 1e-2}, 0.8, level=4)
    dead = ended(3, {"lr": 5e-2}, None)
    add_known_trials(study, [outside, short, same, dead], space, level=4)
    assert [trial.user_attrs["number"] for trial in study.trials] == [2, 3]
    assert study.trials[0].value == 0.8
    assert study.trials[1].state is optuna.trial.TrialState.PRUNED


def test_samplers_that_learn_are_asked_in_turns_and_others_at_once():
    assert turns("random", 100, 64) == [100]
    assert turns("tpe", 40, 1) == [10, 10, 10, 10]
    assert turns("tpe", 16, 1) == [4, 4, 4, 4]
    assert turns("tpe", 16, 64) == [8, 8]
    assert turns("tpe", 100, 64) == [50, 50]
    assert turns("gp", 16, 64) == [4, 4, 4, 4]


@pytest.mark.parametrize("stage", SearchSettings().stages, ids=lambda stage: stage.name)
@pytest.mark.parametrize(("sampler", "width"), [("tpe", 1), ("tpe", 64), ("gp", 1)])
def test_samplers_that_learn_go_by_results_within_the_default_number_of_trials(stage: Stage, sampler: str, width: int):
    """The same seed and two opposite objectives: from the trial that is named on, the proposals differ."""
    space = read_space("lr=1e-5..1e-1 weight_decay=1e-6..1e-2")
    asked = turns(sampler, stage.trials, width)

    def proposals(sign: int) -> list[dict[str, Any]]:
        study = new_study(space, sampler, seed=0, trials=stage.trials)
        found: list[dict[str, Any]] = []
        for count in asked:
            for trial in propose(study, space, count):
                found.append(dict(trial.params))
                report_result(study, trial, ended(len(found), found[-1], sign * math.log10(trial.params["lr"])))
        return found

    up, down = proposals(1), proposals(-1)
    differ = [one != other for one, other in zip(up, down, strict=True)]
    begins = learns_from(asked)
    assert begins is not None
    assert differ.index(True) + 1 == begins
    assert begins - 1 < 0.75 * stage.trials
    assert all(differ[begins - 1 :])


def test_the_plan_says_when_a_sampler_begins_to_learn():
    space = read_space("lr=1e-5..1e-1")
    settings = SearchSettings(sampler="tpe")
    rungs = plans(settings.stages[0], space, settings, width=64)
    assert plan_in_words(rungs, sampler="tpe").endswith("; tpe uses earlier results from trial 9 of the stage on")
    few = plans(Stage("few", 3, 1), space, settings, width=64)
    assert plan_in_words(few, sampler="tpe").endswith("; tpe uses earlier results for no trial: the stage has too few")
    assert "results" not in plan_in_words(rungs)


@pytest.mark.parametrize("shift", [0.25, 0.5, 0.75])
def test_a_grid_over_a_moved_range_meets_the_same_numbers_and_trains_the_best_known_once(shift: float):
    before = Range(1e-5, 1e-1)
    moved = Range(before.value(shift), before.value(1 + shift))
    old = {point["lr"] for point in grid(Space({"lr": before}), 5)}
    space = Space({"lr": moved})
    new = {point["lr"] for point in grid(space, 5)}
    assert len(old & new) == round(5 - 4 * shift)
    known: dict[str, Value] = {"lr": 0.10000000000000006}
    settings = SearchSettings(sampler="grid", stages=(Stage("fine", 6, 1),))
    (rungs,) = plans(settings.stages[0], space, settings, width=1, known=known)
    study = new_study(space, "grid", seed=0, trials=6, known=known)
    lrs = [float(trial.params["lr"]) for trial in propose(study, space, rungs.members[0])]
    assert len({f"{lr:.9g}" for lr in lrs}) == len(lrs) == 5
