from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats
from torch import nn

from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.fixes.trial import Outcome
from babysit.fixes.try_fixes import LEVEL, summary, try_fixes
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.errors import UserError
from babysit.records.finding import Fix
from babysit.tuning.executors.base import TrainingTask, TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor

GOOD = Fix(action="scale_lr", value=100.0)
IDLE = Fix(action="say_a_spell")


def test_a_lr_a_hundred_times_too_low_on_digits_is_cured_by_scaling_it_and_by_nothing_else():
    splits = split(load_data("digits"), seed=0)
    preprocess = Standardize.fit(splits.train.x)
    workload = TrainingTask(
        build=lambda parameters: nn.Sequential(preprocess, mlp(64, 10)),
        train=splits.train,
        validation=splits.validation,
        device="cpu",
    )

    def run_again(fix: Fix | None, seed: int) -> float:
        lr = 3e-5 * (float(fix.value or 1) if fix and fix.action == "scale_lr" else 1)
        decay = 1e-4 if fix and fix.action == "set_weight_decay" else 0.0
        executor = SequentialExecutor(workload)
        (advance,) = executor.advance(
            [TrialConfig(number=0, parameters={"lr": lr, "weight_decay": decay}, seed=seed)], epochs=4
        )
        assert advance.metric is not None
        return advance.metric

    trials = try_fixes(run_again, [IDLE, Fix(action="set_weight_decay", value=1e-4), GOOD])
    assert [trial.rank for trial in trials] == [1, 2, 3]
    assert trials[0].fix == GOOD
    assert trials[0].helped
    assert trials[0].gain is not None
    assert trials[0].gain > 0.4
    assert not trials[1].helped
    assert not trials[2].helped
    idle = next(trial for trial in trials if trial.fix == IDLE)
    assert idle.gain == 0.0
    assert "changed nothing" in idle.say
    assert summary(trials).startswith("scale lr 100: score +0.")
    assert summary(trials).endswith(": helped.")


@pytest.mark.parametrize("step", [0.0, 1 / 100])
@pytest.mark.parametrize("seeds", [3, 6])
def test_fixes_that_only_draw_other_random_numbers_help_in_one_of_twenty_trials_at_most(seeds: int, step: float):
    """Also for a score of few samples, whose differences over the seeds are often equal by chance."""
    generator = np.random.default_rng(0)

    def noise(fix: Fix | None, seed: int) -> float:
        score = 0.9 + 0.01 * float(generator.normal())
        return round(score / step) * step if step else score

    fixes = [Fix(action=f"spell {number}") for number in range(3)]
    runs = 250
    false_claims = sum(
        any(trial.helped for trial in try_fixes(noise, fixes, seeds=range(seeds), resolution=step)) for _ in range(runs)
    )
    # 3.5 standard errors of a share of 5 % of 250 above it: the test is of the level, not of the generator
    assert false_claims <= runs * LEVEL + 3.5 * math.sqrt(runs * LEVEL * (1 - LEVEL))


def test_a_real_effect_of_three_standard_errors_is_usually_found():
    """The power of a one-sided paired t-test at 5 % with ten seeds and a true mean of three standard errors: 0.87."""
    generator = np.random.default_rng(1)
    seeds, deviation = 10, 0.01
    effect = 3 * deviation * math.sqrt(2 / seeds)

    def score(fix: Fix | None, seed: int) -> float:
        return 0.5 + deviation * float(generator.normal()) + (effect if fix else 0.0)

    found = sum(try_fixes(score, [GOOD], seeds=range(seeds))[0].helped for _ in range(200))
    assert found >= 0.8 * 200


def test_only_fixes_that_were_really_tried_widen_the_intervals():
    scores = {None: (0.10, 0.11, 0.09), "scale_lr": (0.41, 0.36, 0.30)}

    def run_again(fix: Fix | None, seed: int) -> float:
        if fix and fix.action != "scale_lr":
            raise UserError("it is a change of your code")
        return scores[fix and fix.action][seed]

    (alone,) = try_fixes(run_again, [GOOD])
    among_others, *others = try_fixes(run_again, [*(Fix(action=f"by hand {n}") for n in range(9)), GOOD])
    assert [trial.outcome for trial in others] == [Outcome.NOT_TRIED] * 9
    assert (among_others.low, among_others.high) == (alone.low, alone.high)
    assert among_others.helped


def test_a_gain_that_three_seeds_cannot_tell_from_chance_names_the_seeds_that_would():
    gains = (0.10, 0.01, 0.04)
    (trial,) = try_fixes(lambda fix, seed: 0.5 + (gains[seed] if fix else 0.0), [GOOD])
    assert trial.outcome is Outcome.CANNOT_TELL
    assert trial.seeds_needed is not None
    ratio = float(np.mean(gains) / np.std(gains, ddof=1))
    told = [n for n in range(4, 50) if ratio * math.sqrt(n) > stats.t.isf(LEVEL, n - 1)]
    assert trial.seeds_needed == told[0]
    assert f"cannot tell with 3 seeds; about {told[0]} would tell" in trial.say
    assert summary([trial]).startswith("Of the 1 tried, no fix is shown to help")


def test_a_difference_far_below_what_another_seed_changes_did_not_help():
    noise = (0.001, -0.002, 0.0005)
    (trial,) = try_fixes(lambda fix, seed: 0.1 * seed + (noise[seed] if fix else 0.0), [GOOD])
    assert trial.outcome is Outcome.DID_NOT_HELP
    assert trial.high is not None
    assert trial.high < 0.1


def test_when_nothing_helps_it_is_said_plainly():
    trials = try_fixes(lambda fix, seed: 0.5 - (0.1 if fix else 0.0), [GOOD, IDLE])
    assert summary(trials).startswith("None of the 2 tried helped. The best: ")
    assert "score -0.100 (interval -0.100 to -0.100), from 0.500 to 0.400: did not help" in trials[0].say


def test_ending_a_divergence_on_every_seed_is_a_help_and_on_some_seeds_is_not():
    (cured,) = try_fixes(lambda fix, seed: 0.8 if fix else math.nan, [GOOD])
    assert cured.helped
    assert cured.gain is None
    assert "3 of 3 seeds diverged without it" in cured.say
    (half,) = try_fixes(lambda fix, seed: 0.8 if fix and seed else math.nan, [GOOD])
    assert not half.helped
    assert "1 with it" in half.say
    assert half.outcome is Outcome.CANNOT_TELL
    (worse,) = try_fixes(lambda fix, seed: math.nan if fix else 0.8, [GOOD])
    assert worse.outcome is Outcome.DID_NOT_HELP


def test_a_cure_that_cannot_be_applied_does_not_stop_the_others():
    def run_again(fix: Fix | None, seed: int) -> float:
        if fix == IDLE:
            raise UserError("say_a_spell cannot be tried by itself")
        if fix and fix.action == "break":
            raise RuntimeError("shapes differ")
        return 0.5 + (0.3 if fix else 0.0)

    trials = try_fixes(run_again, [IDLE, Fix(action="break"), GOOD])
    assert trials[0].fix == GOOD
    assert trials[0].helped
    assert {trial.problem for trial in trials[1:]} == {
        "say_a_spell cannot be tried by itself",
        "RuntimeError: shapes differ",
    }
    assert not any(trial.helped for trial in trials[1:])


def test_ctrl_c_keeps_what_was_finished_and_names_what_was_not():
    def run_again(fix: Fix | None, seed: int) -> float:
        if fix == IDLE:
            raise KeyboardInterrupt
        return 0.5 + (0.3 if fix else 0.0)

    trials = try_fixes(run_again, [GOOD, IDLE, Fix(action="third")])
    assert trials[0].helped
    assert [trial.problem for trial in trials[1:]] == ["interrupted before it was finished"] * 2


def test_every_run_gets_the_seeds_of_the_untreated_one_and_doubles_are_tried_once():
    calls: list[tuple[str, int]] = []

    def run_again(fix: Fix | None, seed: int) -> float:
        calls.append((fix.action if fix else "untreated", seed))
        return random.Random(seed).random()

    trials = try_fixes(run_again, [GOOD, Fix(action="scale_lr", value=100.0, say="the same in words")], seeds=(3, 4, 6))
    assert calls == [(name, seed) for name in ("untreated", "scale_lr") for seed in (3, 4, 6)]
    assert len(trials) == 1


@pytest.mark.parametrize("seeds", [(), (0,), (0, 1), (1, 1, 2)])
def test_fewer_than_three_seeds_tell_nothing_and_are_refused(seeds: tuple[int, ...]):
    with pytest.raises(UserError, match="too few to tell"):
        try_fixes(lambda fix, seed: 0.5, [GOOD], seeds=seeds)


def test_without_fixes_there_is_nothing_to_try():
    assert summary(try_fixes(lambda fix, seed: 0.5, [])) == "There was no fix to try."


def test_an_error_of_the_untreated_training_is_the_users_to_see():
    def broken(fix: Fix | None, seed: int) -> float:
        raise ValueError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        try_fixes(broken, [GOOD])
