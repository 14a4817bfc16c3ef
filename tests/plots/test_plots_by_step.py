"""Losses, accuracy and update ratios show what the run holds."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from babysit.plots import accuracy, losses, markers, update_ratio
from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.testing import synthetic_runs


def drawn_words(figure):
    """All words that stand as data in a figure."""
    return {str(value) for data in figure.to_dict()["datasets"].values() for row in data for value in row.values()}


def test_the_loss_figure_knows_the_best_step_the_start_and_the_stop():
    run = synthetic_runs.healthy_run()
    numbers = losses.numbers(run)
    validation = run.curves.get("val/loss")
    assert numbers.best == (int(validation.steps[validation.values.argmin()]), validation.values.min())
    assert math.isclose(numbers.expected, math.log(10), rel_tol=1e-6)
    assert (numbers.best[0], "lowest validation, model saved", False) in numbers.markers
    words = drawn_words(losses.draw(numbers))
    assert "chance level (ln 10 = 2.303)" in words
    assert "stopped: no better validation loss for 8 epochs" in words


def test_a_model_kept_from_another_step_than_the_lowest_loss_gets_its_own_mark():
    run = synthetic_runs.healthy_run()
    other = msgspec.structs.replace(run, result={"best_step": 400.0})
    labels = {marker.label: marker.step for marker in losses.numbers(other).markers}
    assert labels["model saved"] == 399
    assert labels["lowest validation"] == 879


def test_the_loss_figure_marks_each_alarm_and_the_first_value_that_is_no_number():
    numbers = losses.numbers(synthetic_runs.diverging_run())
    bad = {marker.label: marker.step for marker in numbers.markers if marker.bad}
    assert bad == {
        "loss not finite": 120,
        "U601 lr-too-high": 0,
        "F906 diverging-loss": 9,
        "G502 exploding-gradient": 40,
    }
    assert "loss not finite at step 120" in losses.describe(numbers)


def test_a_loss_that_falls_far_has_a_log_axis_and_one_that_hardly_falls_has_none():
    def scale(values):
        series = Series(steps=np.arange(len(values)), values=np.asarray(values, dtype="float64"))
        figure = losses.draw(losses.numbers(Run(id="x", curves=Curves(series={"train/loss": series}))))
        return next(layer for layer in figure.to_dict()["layer"])["encoding"]["y"]["scale"].get("type", "linear")

    assert scale(np.geomspace(2.3, 0.001, 100)) == "log"
    assert scale(np.linspace(2.303, 2.302, 100)) == "linear"
    assert scale(np.linspace(2.0, -500.0, 100)) == "linear"


def test_a_second_objective_gets_its_own_line():
    steps = np.arange(50)
    series = {name: Series(steps=steps, values=np.ones(50)) for name in ("train/loss", "train/loss/1")}
    assert "train/loss/1" in losses.numbers(Run(id="gan", curves=Curves(series=series))).lines


def test_marks_that_stand_close_take_different_levels_and_stay_inside():
    crowded = tuple(markers.Marker(step, "a mark with words", bad=True) for step in (0, 1, 2, 998, 999))
    layers, room = markers.draw(crowded, 1000)
    heights = [layer.to_dict()["encoding"]["y"]["value"] for layer in layers[1::2]]
    assert len(set(heights[:3])) == 3
    assert room == 6 + 14 * 3
    assert [layer.to_dict()["mark"]["align"] for layer in layers[1::2]] == ["left"] * 3 + ["right"] * 2


def test_the_gap_lies_between_both_curves_where_both_are_known():
    numbers = accuracy.numbers(synthetic_runs.overfit_run())
    assert np.all(np.array(numbers.gap.high) >= np.array(numbers.gap.low))
    assert math.isclose(numbers.gap.high[-1] - numbers.gap.low[-1], 0.31, abs_tol=0.02)
    assert "Generalization gap at the end: 31" in accuracy.describe(numbers)


def test_only_one_curve_draws_without_a_gap():
    run = synthetic_runs.overfit_run()
    only = {"val/accuracy": run.curves.get("val/accuracy")}
    numbers = accuracy.numbers(msgspec.structs.replace(run, curves=Curves(series=only)))
    assert numbers.gap.steps == ()
    assert "gap" not in accuracy.describe(numbers)


def test_few_layers_get_a_line_each_and_many_get_their_spread():
    few, many = (
        update_ratio.numbers(synthetic_runs.healthy_run()),
        update_ratio.numbers(synthetic_runs.hundred_layers_run()),
    )
    assert (len(few.lines), few.quantiles) == (4, None)
    assert len(many.lines) == 4  # the median and the three farthest off
    assert many.quantiles is not None
    assert many.layers == 100


def test_layers_outside_of_the_band_are_counted_by_their_median():
    steps = np.arange(9)
    table = np.tile(np.array([1e-3, 5e-2, 2e-6, 9e-3], dtype="float32"), (9, 1))
    table[0] = np.nan
    run = Run(
        id="x", layer_metrics=LayerMetrics(layers=("a", "b", "c", "d"), steps=steps, values={"update_ratio": table})
    )
    numbers = update_ratio.numbers(run)
    assert numbers.outside == 2
    assert "2 of 4 layers are more than a decade off" in update_ratio.describe(numbers)


def test_layers_that_never_change_do_not_break_the_log_axis():
    table = np.zeros((5, 2))
    table[:, 1] = 1e-3
    run = Run(
        id="x", layer_metrics=LayerMetrics(layers=("frozen", "b"), steps=np.arange(5), values={"update_ratio": table})
    )
    assert list(update_ratio.numbers(run).lines) == ["b"]


def test_the_dense_samples_of_the_beginning_do_not_count_more_than_the_rest():
    steps = np.array([*range(20), *range(100, 2000, 100)])
    table = np.where(steps < 50, 0.2, 1e-3)[:, None]
    run = Run(id="x", layer_metrics=LayerMetrics(layers=("a",), steps=steps, values={"update_ratio": table}))
    numbers = update_ratio.numbers(run)
    assert math.isclose(numbers.typical, 1e-3, rel_tol=0.01)
    assert numbers.outside == 0
