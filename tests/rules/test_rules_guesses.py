"""Rules that decide by exclusion: they yield to all that was measured, and say that they guess."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from babysit.records.finding import Finding, Severity
from babysit.records.run import Run
from babysit.rules.catalogue import RULES
from babysit.rules.engine import judge
from babysit.rules.examples import classes, example_run, falling, flat, profile
from babysit.rules.ranking import rank
from babysit.rules.selection import find_rule


def codes(run: Run) -> list[str]:
    return [finding.code for finding in judge(run)]


def nothing_learned(**changes: object) -> Run:
    return example_run(**({"loss": flat(2.302)} | changes))  # type: ignore[arg-type]


def test_labels_that_nothing_can_be_learned_of_are_a_guess_and_say_so() -> None:
    found = next(one for one in judge(nothing_learned()) if one.code == "D108")
    assert found.severity is Severity.WARNING
    assert found.confidence <= 0.3
    assert found.message.startswith("Possible cause:")
    assert "guess by exclusion" in found.message


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": np.r_[falling(2.4, 0.4, steps=200), flat(2.302, steps=200)]},
        {"loss": np.r_[flat(2.302, steps=150), np.full(50, 1.9), flat(2.302, steps=200)]},
        {"curves": {"val/accuracy": np.r_[0.1, 0.79, 0.11, 0.1]}},
        {"curves": {"val/accuracy": 100 * np.r_[0.1, 0.79, 0.11, 0.1]}},
        {"curves": {"val/loss": np.r_[2.3, 0.8, 2.3, 2.31]}},
        {"curves": {"train/accuracy": np.r_[np.full(20, 0.1), np.full(20, 0.3)]}},
        {"loss": flat(2.302, steps=60)},
        {"facts": {"batch_size": 1}},
        {"facts": {"batch_size": 8}},
        {"layer_metrics": {"dead": np.r_[np.zeros(30), np.ones(9)][:, None]}},
    ],
)
def test_contrary_evidence_of_any_time_silences_the_guess(changes: dict[str, object]) -> None:
    run = nothing_learned(**changes)
    if "loss" in changes and len(changes["loss"]) < 100:  # type: ignore[arg-type]
        steps = np.arange(len(run.curves.get("train/loss")))
        series = {"train/loss": msgspec.structs.replace(run.curves.get("train/loss"), steps=steps)}
        run = msgspec.structs.replace(run, curves=msgspec.structs.replace(run.curves, series=series))
    assert "D108" not in codes(run)


def test_a_small_training_set_seen_many_times_is_long_enough() -> None:
    data = profile()
    train = msgspec.structs.replace(data.splits[0], split="train", samples=150)
    run = nothing_learned(facts={"batch_size": 16}, data=msgspec.structs.replace(data, splits=(*data.splits, train)))
    assert "D108" in codes(run)


def test_memorized_labels_with_validation_once_right_are_overfitting_and_no_guess() -> None:
    loss, validation = falling(2.4, 0.05), np.linspace(2.31, 6.0, 20)
    assert "D108" in codes(example_run(loss=loss, curves={"val/loss": validation}))
    once = validation.copy()
    once[3] = 1.5
    assert "D108" not in codes(example_run(loss=loss, curves={"val/loss": once}))


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.fallback], ids=lambda rule: rule.code)
def test_a_guess_never_comes_before_a_measured_alarm(rule: object) -> None:
    def finding(code: str, severity: Severity, confidence: float) -> Finding:
        return Finding(code=code, name=find_rule(code).name, severity=severity, confidence=confidence)

    guess = finding(rule.code, Severity.WARNING, 1.0)  # type: ignore[attr-defined]
    symptoms = [finding(code, Severity.ERROR, 1.0) for code in find_rule(guess.code).causes]
    measured = finding("U604", Severity.WARNING, 0.1)
    ranked = rank([guess, *symptoms, measured])
    assert ranked[0].code == "U604"
    assert rank([guess])[0].code == guess.code


@pytest.mark.parametrize("end", [2.0, 1.5, 2.3])
def test_a_run_that_still_improves_is_a_remark_and_a_short_one_is_silent(end: float) -> None:
    found = [one for one in judge(example_run(loss=np.linspace(2.6, end, 400))) if one.code == "F903"]
    assert [one.severity for one in found] == [Severity.INFO]
    assert found[0].message.startswith("Still improving")
    steps = np.arange(40)
    run = example_run(loss=np.linspace(2.6, end, 40))
    series = {"train/loss": msgspec.structs.replace(run.curves.get("train/loss"), steps=steps)}
    assert "F903" not in codes(msgspec.structs.replace(run, curves=msgspec.structs.replace(run.curves, series=series)))


def test_a_loss_of_its_own_scale_is_no_reason_to_guess() -> None:
    assert "D108" not in codes(example_run(objective=classes(loss="custom"), loss=flat(2.302)))


def test_batches_of_one_are_reported_as_too_small_and_nothing_is_concluded_from_their_spread() -> None:
    noise = np.exp(np.random.default_rng(0).standard_normal(400) - 0.5)
    run = example_run(
        loss=2.3 * noise,
        curves={"val/accuracy": np.r_[0.1, 0.85, 0.3, 0.85]},
        facts={"batch_size": 1},
        layer_metrics={"update_ratio": 0.01, "sample_std": np.nan, "output_std": np.nan, "dead": np.nan},
    )
    found = judge(run)
    assert not {"A406", "D108", "A401", "F905", "O210"} & {one.code for one in found if one.severity != "INFO"}


def test_batches_of_one_that_get_nowhere_are_led_by_their_size() -> None:
    noise = np.exp(np.random.default_rng(0).standard_normal(400) - 0.5)
    found = judge(example_run(loss=2.3 * noise, facts={"batch_size": 1}, layer_metrics={"update_ratio": 0.01}))
    assert found[0].code == "U605"
    assert "D108" not in [one.code for one in found]
