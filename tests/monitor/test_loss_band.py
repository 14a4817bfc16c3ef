"""When a loss has left the band of the values before it."""

from __future__ import annotations

import numpy as np
import pytest

from babysit.monitor.inplace_band import Band
from babysit.monitor.schedule import DENSE_STEPS, Schedule

STEPS = np.arange(3000)


def left_at(values: np.ndarray) -> list[int]:
    band = Band()
    return [place for place, value in enumerate(values) if band.leaves(float(value))]


@pytest.mark.parametrize(
    "clean",
    [
        np.full(3000, 2.3),
        0.1 + 2.2 * np.exp(-STEPS / 300),
        2.3 * (1 + STEPS) ** -0.3,
        np.linspace(5, -5, 3000),
    ],
)
def test_losses_that_fall_or_stay_leave_no_band(clean: np.ndarray) -> None:
    noise = np.random.default_rng(0).standard_normal(3000)
    assert left_at(clean * (1 + 0.1 * noise) + 0.01 * noise) == []


@pytest.mark.parametrize("level", [2.3, 50.0, -4.0, 0.05])
def test_a_change_of_level_is_seen_at_its_second_value(level: float) -> None:
    values = 0.6 + 0.05 * np.random.default_rng(0).standard_normal(400)
    values[250:] += level - 0.6
    assert left_at(values) == [251]


def test_a_single_outlier_a_nan_and_a_constant_loss_are_no_change() -> None:
    values = 1 + 0.05 * np.random.default_rng(0).standard_normal(400)
    values[100], values[200] = 9.0, np.nan
    assert left_at(values) == []
    assert left_at(np.ones(100)) == []


def test_jumps_are_looked_at_once_for_each_doubling_of_the_steps() -> None:
    schedule, sampled = Schedule(0.01), 0
    for step in range(20_000):
        if step % 100 == 99:  # a loss that jumps all the time
            schedule.sample_after_jump(step)
        taken = schedule.should_sample(step)
        schedule.record_step_time(step, 0.002 + 0.001 * taken, sampled=taken)
        sampled += taken
    quiet, quietly = Schedule(0.01), 0
    for step in range(20_000):
        taken = quiet.should_sample(step)
        quiet.record_step_time(step, 0.002 + 0.001 * taken, sampled=taken)
        quietly += taken
    doublings = np.log2(20_000 / DENSE_STEPS)
    assert DENSE_STEPS * (doublings - 1) / 2 < sampled - quietly <= DENSE_STEPS * (doublings + 1)
