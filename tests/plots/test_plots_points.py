"""Thinning keeps peaks, smoothing does not lag, and only finite numbers are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from babysit.plots.points import Line, downsample, finite, first_nonfinite, rows, significant, smooth
from babysit.records.curves import Series

FINITE = st.floats(-1e6, 1e6)


def line(values):
    return Line(np.arange(len(values)), np.asarray(values, dtype="float64"))


@given(arrays.arrays("float64", st.integers(1, 3000), elements=FINITE))
def test_thinning_keeps_the_ends_the_lowest_and_the_highest(values):
    thinned = downsample(line(values), 50)
    assert len(thinned) <= max(52, 50)
    assert thinned.values.min() == values.min()
    assert thinned.values.max() == values.max()
    assert (thinned.steps[0], thinned.steps[-1]) == (0, len(values) - 1)
    assert (np.diff(thinned.steps) > 0).all()


def test_a_single_spike_among_ten_thousand_steps_survives_thinning():
    values = np.ones(10_000)
    values[7_777] = 9.0
    thinned = downsample(line(values), 400)
    assert 7_777 in thinned.steps


@given(st.integers(2, 60), st.integers(61, 400), st.floats(-5, 5), st.floats(-5, 5))
def test_smoothing_leaves_a_straight_line_as_it_is(window, length, slope, start):
    values = start + slope * np.arange(length)
    np.testing.assert_allclose(smooth(line(values), window).values, values, atol=1e-6 * (1 + np.abs(values).max()))


def test_smoothing_equals_the_plain_mean_in_the_middle_and_stays_within_the_values():
    values = np.random.default_rng(0).normal(size=500)
    smoothed = smooth(line(values), 21).values
    for middle in (50, 250, 440):
        assert math.isclose(smoothed[middle], values[middle - 10 : middle + 11].mean(), rel_tol=1e-9)
    assert smoothed.min() >= values.min()
    assert smoothed.max() <= values.max()


def test_smoothing_quiets_the_very_end_of_a_noisy_curve():
    ends = [smooth(line(np.random.default_rng(seed).normal(size=500)), 25).values[-1] for seed in range(200)]
    # A single value has a standard deviation of 1, and a mean of 25 one of 0.2.
    assert np.std(ends) < 0.35


def test_smoothing_huge_losses_does_not_overflow():
    assert np.isfinite(smooth(line(np.full(100, 1e307)), 10).values).all()


def test_nonfinite_points_are_left_out_and_the_first_is_known():
    series = Series(steps=np.array([3, 1, 2, 0]), values=np.array([np.nan, 5.0, np.inf, 4.0]))
    kept = finite(series)
    assert kept.steps.tolist() == [0, 1]
    assert kept.values.tolist() == [4.0, 5.0]
    assert first_nonfinite(series) == 2
    assert first_nonfinite(Series()) is None


def test_steps_and_values_of_different_lengths_are_cut_to_the_shorter():
    assert len(finite(Series(steps=np.arange(5), values=np.ones(3)))) == 3


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.123456789, 0.1235), (123456.0, 123500.0), (0.0, 0.0), (np.nan, None)]
)
def test_values_are_rounded_to_significant_digits(value, rounded):
    assert significant(value) == rounded


def test_rows_repeat_single_values_and_hold_plain_python_numbers():
    data = rows(step=np.arange(2), value=np.array([1.5, np.nan]), name="a").to_dict()["values"]
    assert data == [{"step": 0, "value": 1.5, "name": "a"}, {"step": 1, "value": None, "name": "a"}]
