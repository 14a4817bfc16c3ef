"""Alarms about gradients and the learning rate ask for harm in the record."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from babysit.analysis.loss_curve import is_improving
from babysit.records.curves import Curves, Series
from babysit.records.finding import Finding
from babysit.records.run import Run
from babysit.rules.engine import run_rule
from babysit.rules.examples import Floats, dense_layers, example_run, falling, flat
from babysit.rules.gradients.vanishing_gradient import RULE as VANISHING
from babysit.rules.rule import Rule
from babysit.rules.selection import limits_of
from babysit.rules.updates.lr_too_high import RULE as TOO_HIGH


def said(rule: Rule, run: Run) -> list[Finding]:
    return list(run_rule(rule, run, limits_of(rule, {})))


def lasting(run: Run, steps: int) -> Run:
    """The same run, as if it had been so short."""
    series = run.curves.get("train/loss")
    short = Series(steps=np.arange(steps), values=np.asarray(series.values)[:steps])
    return msgspec.structs.replace(run, curves=Curves(series={"train/loss": short}))


def long_steps(loss: Floats) -> Run:
    return example_run(loss=loss, layer_metrics={"update_ratio": 0.2})


def little_gradient(loss: Floats, gradients: Floats | None = None) -> Run:
    layers = dense_layers((20, *(32,) * 8, 10), activation="sigmoid")
    size = np.logspace(-8, -1, 9) if gradients is None else gradients
    return example_run(layers=layers, loss=loss, layer_metrics={"gradient_rms": size})


DROPPED = np.r_[np.linspace(9.0, 2.4, 12), flat(2.3, steps=388, noise=0.05)]
SLOW = np.linspace(2.4, 1.9, 400) * flat(1.0, noise=0.02)
LATE = np.r_[flat(2.3, steps=200, noise=0.02), np.linspace(2.3, 2.0, 200) * flat(1.0, steps=200, noise=0.02)]


@pytest.mark.parametrize(
    ("loss", "falls"),
    [(SLOW, True), (LATE, True), (falling(2.3, 1.9), True), (DROPPED, False), (flat(2.3, noise=0.1), False)],
    ids=["slow", "late", "usual", "first-drop", "flat"],
)
def test_alarms_are_raised_where_the_loss_does_not_fall(loss: Floats, *, falls: bool) -> None:
    assert is_improving(loss, 0.01) is falls
    assert bool(said(TOO_HIGH, long_steps(loss))) is not falls
    assert bool(said(VANISHING, little_gradient(loss))) is not falls


def test_a_loss_that_goes_up_is_not_falling() -> None:
    assert not is_improving(np.linspace(2.0, 2.5, 400), 0.01)
    assert said(TOO_HIGH, long_steps(np.linspace(2.3, 2.6, 400) * flat(1.0, noise=0.02)))


@pytest.mark.parametrize("steps", [12, 20, 40])
def test_very_short_runs_are_not_judged(steps: int) -> None:
    loss = flat(2.3, noise=0.1)
    assert not said(TOO_HIGH, lasting(long_steps(loss), steps))
    assert not said(VANISHING, lasting(little_gradient(loss), steps))
    assert said(TOO_HIGH, lasting(long_steps(loss), 200))
    assert said(VANISHING, lasting(little_gradient(loss), 200))


def test_the_sentence_says_where_the_loss_began_and_ended() -> None:
    (found,) = said(TOO_HIGH, long_steps(flat(2.3, noise=0.1)))
    assert "does not decrease: it went from 2." in found.message
    assert "stays at" not in found.message


def test_faint_queries_and_keys_of_even_attention_are_no_vanishing_gradient() -> None:
    """Only the first two of the early layers have little gradient, and what lies beside them has its full size."""
    gradients = np.asarray([1e-6, 1e-6, 0.05, 0.06, 0.05, 0.07, 0.08, 0.1, 0.1])
    assert not said(VANISHING, little_gradient(flat(2.3), gradients))
