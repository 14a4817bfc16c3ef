import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from babysit.records.arrays import Array
from babysit.records.curves import Curves, Series
from babysit.records.events import Event, Events
from babysit.records.finding import Finding, Severity
from babysit.records.layer_metrics import LayerMetrics
from babysit.store.downsampling import (
    NEAR_STEPS,
    Marks,
    bytes_of_curves,
    bytes_of_layer_metrics,
    downsample,
    downsample_curves,
    downsample_layer_metrics,
    marks_of,
)

NONE = Marks()
VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)


def curve(values: Array, every: int = 1) -> Curves:
    return Curves(series={"loss": Series(np.arange(len(values)) * every, values)})


def noisy(rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=rows)


def layer_metrics(rows: int, every: int = 50, layers: int = 3) -> LayerMetrics:
    table = np.random.default_rng(1).random((rows, layers)).astype("float32")
    return LayerMetrics(
        layers=tuple(f"l{n}" for n in range(layers)),
        steps=np.arange(rows) * every,
        values={"zeros": table, "dead": table},
    )


def test_what_fits_is_left_as_it_is() -> None:
    curves, sampled = curve(noisy(100)), layer_metrics(10)
    assert downsample(curves, sampled, marks=NONE, most_bytes=1e6) == (curves, sampled)


def test_a_long_curve_stays_within_its_bound_with_both_its_ends() -> None:
    kept = downsample_curves(curve(noisy(1_000_000)), marks=NONE, most_bytes=1e6)
    steps = kept.get("loss").steps
    assert 0.3e6 < bytes_of_curves(kept) <= 1e6
    assert (steps[0], steps[-1]) == (0, 999_999)


def test_rows_are_dense_early_and_spread_by_the_logarithm_late() -> None:
    steps = downsample_curves(curve(noisy(1_000_000)), marks=NONE, most_bytes=1e6).get("loss").steps
    gaps = np.diff(steps)
    dense = int(np.argmax(gaps > 1))
    assert dense >= 1000
    # In a bin of four rows at most: a factor e of late steps has about four times the dense bins, wherever it begins.
    counts = [int(((steps >= low) & (steps < low * np.e)).sum()) for low in (10_000, 100_000, 350_000)]
    assert max(counts) < 1.2 * min(counts)
    assert max(counts) <= 4 * (dense + 1) * 1.1


def test_a_spike_and_a_value_that_is_no_number_do_not_disappear() -> None:
    values = noisy(300_000)
    values[123_456], values[200_001], values[250_000], values[299_000] = 1e6, -1e6, np.nan, np.inf
    kept = downsample_curves(curve(values), marks=NONE, most_bytes=50_000).get("loss")
    assert {123_456, 200_001, 250_000, 299_000} <= set(kept.steps.tolist())


def test_the_surroundings_of_alarms_and_events_stay() -> None:
    marks = Marks(problems=(500_000,), events=(250_000,))
    kept = downsample_curves(curve(noisy(1_000_000)), marks=marks, most_bytes=200_000).get("loss")
    for at in (500_000, 250_000):
        assert set(range(at - NEAR_STEPS, at + NEAR_STEPS + 1)) <= set(kept.steps.tolist())
    sampled = downsample_layer_metrics(layer_metrics(20_000), marks=marks, most_bytes=20_000)
    assert {499_950, 500_000, 500_050} <= set(sampled.steps.tolist())


def test_a_mark_between_two_samples_keeps_both() -> None:
    sampled = downsample_layer_metrics(
        layer_metrics(20_000, every=1000), marks=Marks(problems=(7_500_400,)), most_bytes=20_000
    )
    assert {7_500_000, 7_501_000} <= set(sampled.steps.tolist())


def test_too_many_events_give_way_before_alarms_do() -> None:
    marks = Marks(problems=(500_000,), events=tuple(range(0, 1_000_000, 100)))
    kept = downsample_curves(curve(noisy(1_000_000)), marks=marks, most_bytes=20_000)
    assert bytes_of_curves(kept) <= 20_000
    assert 500_000 in kept.get("loss").steps


def test_the_first_sample_that_was_not_finite_stays() -> None:
    sampled = layer_metrics(20_000)
    broken = np.zeros((20_000, 3), dtype="float32")
    broken[15_123:, 1] = 4
    kept = downsample_layer_metrics(
        LayerMetrics(layers=sampled.layers, steps=sampled.steps, values={**sampled.values, "nonfinite": broken}),
        marks=NONE,
        most_bytes=30_000,
    )
    first = kept.steps[np.argmax(kept.series("nonfinite", "l1") > 0)]
    assert first == 15_123 * 50


def test_curves_and_layer_metrics_share_the_bound() -> None:
    curves, sampled = downsample(curve(noisy(200_000)), layer_metrics(50), marks=NONE, most_bytes=100_000)
    assert len(sampled.steps) == 50  # small beside the curves: all of it stays, and they have the rest
    assert bytes_of_curves(curves) > 40_000
    assert bytes_of_curves(curves) + bytes_of_layer_metrics(sampled) <= 100_000


def test_a_run_too_wide_for_its_bound_keeps_its_ends() -> None:
    kept = downsample_layer_metrics(layer_metrics(100, layers=1000), marks=NONE, most_bytes=10)
    assert kept.steps.tolist() == [0, 99 * 50]


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays("float64", st.integers(2, 400), elements=VALUES), st.integers(1, 5000), st.sampled_from([2.0, 3.0, 8.0])
)
def test_thinning_twice_is_thinning_once(values: Array, every: int, share: float) -> None:
    curves = curve(values, every)
    size = bytes_of_curves(curves)
    once = downsample_curves(curves, marks=NONE, most_bytes=size / (2 * share)).get("loss")
    half = downsample_curves(curves, marks=NONE, most_bytes=size / share)
    twice = downsample_curves(half, marks=NONE, most_bytes=size / (2 * share)).get("loss")
    assert once.steps.tolist() == twice.steps.tolist()
    assert np.array_equal(once.values, twice.values, equal_nan=True)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays("int64", st.integers(1, 300), elements=st.integers(0, 10**9)),
    st.lists(st.integers(0, 10**9), max_size=5),
    st.integers(0, 4000),
)
def test_rows_stay_in_their_order_and_extremes_in_the_run(steps: Array, problems: list[int], most_bytes: int) -> None:
    values = np.random.default_rng(len(steps)).normal(size=len(steps))
    curves = Curves(series={"a": Series(steps, values), "empty": Series()})
    kept = downsample_curves(curves, marks=Marks(problems=tuple(problems)), most_bytes=most_bytes)
    rows = kept.get("a")
    place = {value: row for row, value in enumerate(values.tolist())}
    found = [place[value] for value in rows.values.tolist()]
    assert found == sorted(found)
    assert np.array_equal(rows.steps, steps[found])
    assert {int(steps.min()), int(steps.max())} <= set(rows.steps.tolist())
    assert bytes_of_curves(kept) <= max(most_bytes, 16 * 2) or len(rows) <= 8
    assert set(kept.series) == {"a", "empty"}


def test_marks_are_the_alarms_and_the_events_of_a_run() -> None:
    findings = (
        Finding(code="R301", name="a", severity=Severity.ERROR, first_step=7, last_step=90),
        Finding(code="F900", name="b", severity=Severity.INFO, first_step=5),
    )
    events = Events(kept=(Event(step=3, kind="clip"), Event(step=60, kind="finding_opened")))
    assert marks_of(findings, events) == Marks(problems=(7, 60, 90), events=(3, 60))


def test_a_curve_of_numbers_only_is_asked_for() -> None:
    with pytest.raises((ValueError, TypeError)):
        downsample_curves(Curves(series={"a": Series(np.arange(9), np.array(["x"] * 9))}), marks=NONE, most_bytes=1)
