from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babysit.experiments.lr_choice import choose_lr, smooth

LRS = np.logspace(-6, 1, 100)


def falling_curve(middle: float, *, width: float = 0.4, floor: float = 0.5, explode: float = 1.0) -> np.ndarray:
    """From 2.3 down to `floor` around log10(rate) = middle, and up again around log10(rate) = explode."""
    logs = np.log10(LRS)
    fall = (2.3 - floor) / (1 + np.exp(-(logs - middle) / (width / 2)))
    return 2.3 - fall + np.exp(np.minimum((logs - explode) * 6, 20))


@pytest.mark.parametrize("middle", [-4.0, -3.0, -2.0, -1.0])
def test_the_steepest_point_of_a_known_curve_is_found_per_decade(middle: float) -> None:
    choice = choose_lr(LRS, falling_curve(middle, explode=middle + 2), initial=2.3)
    assert choice is not None
    assert math.log10(choice.steepest) == pytest.approx(middle, abs=0.15)
    assert math.log10(choice.halfway) == pytest.approx(middle, abs=0.15)
    assert choice.low < choice.steepest < choice.high
    assert choice.low <= choice.suggested <= choice.high


def test_noise_moves_the_steepest_point_by_less_than_half_a_decade() -> None:
    # Slope per unit of learning rate instead of per decade answers 9e-8 to 1e-6 on such curves, four decades off.
    found = []
    for seed in range(40):
        noisy = falling_curve(-2.5, explode=-0.5) + np.random.default_rng(seed).normal(0, 0.01, 100)
        choice = choose_lr(LRS, noisy, initial=2.3)
        assert choice is not None
        found.append(math.log10(choice.steepest))
    assert np.median(found) == pytest.approx(-2.5, abs=0.2)
    assert np.abs(np.array(found) + 2.5).max() < 0.5


@pytest.mark.parametrize("seed", range(10))
def test_a_loss_that_only_jitters_has_no_usable_range(seed: int) -> None:
    jitter = 2.3 + np.random.default_rng(seed).normal(0, 0.05, 100)
    assert choose_lr(LRS, jitter, initial=2.3) is None


def test_a_loss_that_only_rises_has_no_usable_range() -> None:
    assert choose_lr(LRS, 2.3 + np.linspace(0, 5, 100), initial=2.3) is None


def test_a_loss_that_never_moves_has_no_usable_range() -> None:
    assert choose_lr(LRS, np.full(100, 2.3), initial=2.3) is None


@pytest.mark.parametrize("end", [math.nan, math.inf, 1e30])
def test_an_explosion_at_the_end_does_not_move_the_rest(end: float) -> None:
    curve = falling_curve(-3, explode=1.5)[:70]
    calm = choose_lr(LRS[:70], curve, initial=2.3)
    exploded = choose_lr(LRS[:71], np.append(curve, end), initial=2.3)
    assert calm is not None
    assert exploded is not None
    assert exploded.suggested == pytest.approx(calm.suggested, rel=0.2)


def test_suggestions_that_disagree_lower_the_confidence() -> None:
    sharp = choose_lr(LRS, falling_curve(-2, width=0.3, explode=-0.5), initial=2.3)
    early_fall_late_end = np.interp(np.log10(LRS), [-6, -5, -4, 0.5, 1], [2.3, 2.3, 1.0, 0.9, 5.0])
    spread = choose_lr(LRS, early_fall_late_end, initial=2.3)
    assert sharp is not None
    assert spread is not None
    assert spread.confidence < 0.5 < sharp.confidence


@given(st.floats(0.01, 1000))
@settings(max_examples=25, deadline=None)
def test_the_unit_of_the_loss_does_not_matter(unit: float) -> None:
    curve = falling_curve(-3, explode=0)
    plain = choose_lr(LRS, curve, initial=2.3)
    scaled = choose_lr(LRS, curve * unit, initial=2.3 * unit)
    assert plain is not None
    assert scaled is not None
    assert scaled.suggested == pytest.approx(plain.suggested, rel=1e-6)


def test_smoothing_has_no_delay() -> None:
    straight = np.linspace(3, 1, 60)
    assert smooth(straight, cap=10) == pytest.approx(straight)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 14, 15, 16])
def test_short_sweeps_are_smoothed_without_error(count: int) -> None:
    assert smooth(np.linspace(2, 1, count), cap=3) == pytest.approx(np.linspace(2, 1, count))
