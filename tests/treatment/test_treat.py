from __future__ import annotations

import math
import random

import numpy as np
import pytest
from torch import nn

from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.finding import Treatment
from babysit.records.problem import UserError
from babysit.treatment.treat import summary, treat
from babysit.tuning.executor import Member, Workload
from babysit.tuning.in_process import InProcess

GOOD = Treatment(action="scale_rate", value=100.0)
IDLE = Treatment(action="say_a_spell")


def test_a_rate_a_hundred_times_too_low_on_digits_is_cured_by_scaling_it_and_by_nothing_else():
    splits = split(load_data("digits"), seed=0)
    preprocess = Standardize.fit(splits.train.x)
    workload = Workload(
        build=lambda parameters: nn.Sequential(preprocess, mlp(64, 10)),
        train=splits.train,
        validation=splits.validation,
        device="cpu",
    )

    def run_again(treatment: Treatment | None, seed: int) -> float:
        rate = 3e-5 * (float(treatment.value or 1) if treatment and treatment.action == "scale_rate" else 1)
        decay = 1e-4 if treatment and treatment.action == "set_weight_decay" else 0.0
        executor = InProcess(workload)
        (advance,) = executor.advance(
            [Member(number=0, parameters={"rate": rate, "weight_decay": decay}, seed=seed)], epochs=4
        )
        assert advance.metric is not None
        return advance.metric

    trials = treat(run_again, [IDLE, Treatment(action="set_weight_decay", value=1e-4), GOOD])
    assert [trial.rank for trial in trials] == [1, 2, 3]
    assert trials[0].treatment == GOOD
    assert trials[0].helped
    assert trials[0].gain is not None
    assert trials[0].gain > 0.4
    assert not trials[1].helped
    assert not trials[2].helped
    idle = next(trial for trial in trials if trial.treatment == IDLE)
    assert idle.gain == 0.0
    assert "changed nothing" in idle.say
    assert summary(trials).startswith("scale_rate 100 helped: ")


def test_a_treatment_that_only_draws_other_random_numbers_is_rarely_claimed_to_help():
    generator = np.random.default_rng(0)

    def noise(treatment: Treatment | None, seed: int) -> float:
        return 0.9 + 0.01 * float(generator.normal())

    cures = [Treatment(action=f"spell {number}") for number in range(3)]
    false_claims = sum(any(trial.helped for trial in treat(noise, cures)) for _ in range(300))
    assert false_claims <= 300 * 0.05


def test_a_real_gain_well_above_the_noise_is_usually_found():
    generator = np.random.default_rng(1)

    def score(treatment: Treatment | None, seed: int) -> float:
        return 0.5 + 0.01 * float(generator.normal()) + (0.2 if treatment else 0.0)

    found = sum(treat(score, [GOOD])[0].helped for _ in range(100))
    assert found >= 95


def test_a_sure_gain_that_is_smaller_than_what_a_seed_does_is_not_claimed():
    (trial,) = treat(lambda treatment, seed: 0.1 * seed + (0.001 if treatment else 0.0), [GOOD])
    assert not trial.helped
    assert trial.gain == pytest.approx(0.001)
    assert "is not shown to help" in trial.say


def test_when_nothing_helps_it_is_said_plainly():
    trials = treat(lambda treatment, seed: 0.5 - (0.1 if treatment else 0.0), [GOOD, IDLE])
    assert summary(trials) == (
        "No treatment helped: none of the 2 tried beat the untreated training by more than chance."
    )
    assert "did not help: 0.500 to 0.400 (-0.100" in trials[0].say


def test_ending_a_divergence_on_every_seed_is_a_cure_and_on_some_seeds_is_not():
    (cured,) = treat(lambda treatment, seed: 0.8 if treatment else math.nan, [GOOD])
    assert cured.helped
    assert cured.gain is None
    assert "all 3 seeds diverged without it" in cured.say
    (half,) = treat(lambda treatment, seed: 0.8 if treatment and seed else math.nan, [GOOD])
    assert not half.helped
    assert "1 with it" in half.say
    (worse,) = treat(lambda treatment, seed: math.nan if treatment else 0.8, [GOOD])
    assert not worse.helped


def test_a_cure_that_cannot_be_applied_does_not_stop_the_others():
    def run_again(treatment: Treatment | None, seed: int) -> float:
        if treatment == IDLE:
            raise UserError("say_a_spell cannot be tried by itself")
        if treatment and treatment.action == "break":
            raise RuntimeError("shapes differ")
        return 0.5 + (0.3 if treatment else 0.0)

    trials = treat(run_again, [IDLE, Treatment(action="break"), GOOD])
    assert trials[0].treatment == GOOD
    assert trials[0].helped
    assert {trial.problem for trial in trials[1:]} == {
        "say_a_spell cannot be tried by itself",
        "RuntimeError: shapes differ",
    }
    assert not any(trial.helped for trial in trials[1:])


def test_ctrl_c_keeps_what_was_finished_and_names_what_was_not():
    def run_again(treatment: Treatment | None, seed: int) -> float:
        if treatment == IDLE:
            raise KeyboardInterrupt
        return 0.5 + (0.3 if treatment else 0.0)

    trials = treat(run_again, [GOOD, IDLE, Treatment(action="third")])
    assert trials[0].helped
    assert [trial.problem for trial in trials[1:]] == ["interrupted before it was finished"] * 2


def test_every_run_gets_the_seeds_of_the_untreated_one_and_doubles_are_tried_once():
    calls: list[tuple[str, int]] = []

    def run_again(treatment: Treatment | None, seed: int) -> float:
        calls.append((treatment.action if treatment else "untreated", seed))
        return random.Random(seed).random()

    trials = treat(
        run_again, [GOOD, Treatment(action="scale_rate", value=100.0, say="the same in words")], seeds=(3, 4)
    )
    assert calls == [("untreated", 3), ("untreated", 4), ("scale_rate", 3), ("scale_rate", 4)]
    assert len(trials) == 1


@pytest.mark.parametrize("seeds", [(), (0,), (1, 1)])
def test_fewer_than_two_seeds_prove_nothing_and_are_refused(seeds: tuple[int, ...]):
    with pytest.raises(UserError, match="two different seeds"):
        treat(lambda treatment, seed: 0.5, [GOOD], seeds=seeds)


def test_without_treatments_there_is_nothing_to_try():
    assert summary(treat(lambda treatment, seed: 0.5, [])) == "There was no treatment to try."


def test_an_error_of_the_untreated_training_is_the_users_to_see():
    def broken(treatment: Treatment | None, seed: int) -> float:
        raise ValueError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        treat(broken, [GOOD])
