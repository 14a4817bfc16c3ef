"""Figures of several runs: their curves over each other, and the layers of two against each other."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from babysit.plots import compared_losses, compared_metrics, difference
from babysit.plots.catalogue import COMPARED
from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.testing import synthetic_runs


def run_of(tables, steps, layers, name="x"):
    arrays = {metric: np.asarray(table, dtype="float64") for metric, table in tables.items()}
    return Run(id=name, layer_metrics=LayerMetrics(layers=layers, steps=np.asarray(steps), values=arrays))


def with_loss(values):
    series = Series(steps=np.arange(len(values)), values=np.asarray(values, dtype="float64"))
    return Run(id="x", curves=Curves(series={"train/loss": series}))


@pytest.mark.drawing
def test_figures_of_two_and_of_six_runs_are_valid_vega_lite_and_strict_json():
    runs = [
        synthetic_runs.healthy_run(),
        synthetic_runs.diverging_run(),
        synthetic_runs.overfit_run(),
        synthetic_runs.hostile_names_run(),
    ]
    for chosen in (runs[:2], runs, [*runs, synthetic_runs.dead_relu_run(), synthetic_runs.search_run()]):
        drawn = 0
        for plot in COMPARED:
            numbers = plot.numbers(chosen)
            if numbers is not None:
                json.dumps(plot.draw(numbers).to_dict(), allow_nan=False)
                assert plot.describe(numbers).endswith(".")
                drawn += 1
        assert drawn >= 2


def test_runs_without_curves_or_layers_draw_nothing():
    assert [plot.numbers([Run(id="a"), Run(id="b")]) for plot in COMPARED] == [None] * 3
    assert compared_losses.numbers([synthetic_runs.healthy_run(), Run(id="b")]) is None


def test_one_exploding_run_does_not_flatten_the_other():
    numbers = compared_losses.numbers([with_loss([2.3, 1.0, 0.5]), with_loss([2.3, 1e9, 1e30])])
    assert numbers.high == 23.0


def test_accuracies_are_compared_where_two_runs_have_them_and_the_letters_are_the_runs():
    numbers = compared_metrics.numbers([Run(id="a"), synthetic_runs.healthy_run(), synthetic_runs.overfit_run()])
    assert {label for label, _ in numbers.lines} == {"B", "C"}


def test_each_cell_is_the_ratio_of_b_to_a_and_shares_are_subtracted():
    steps, layers = [0, 1, 2], ("a", "b")
    one = run_of({"gradient_rms": [[1, 2]] * 3, "dead": [[0.1, 0.2]] * 3}, steps, layers)
    other = run_of({"gradient_rms": [[10, 0.2]] * 3, "dead": [[0.4, 0.2]] * 3}, steps, layers)
    numbers = difference.numbers([one, other])
    np.testing.assert_allclose(numbers.tables["gradient_rms"], [[1] * 3, [-1] * 3], atol=1e-12)
    np.testing.assert_allclose(numbers.tables["dead"], [[0.3] * 3, [0] * 3], atol=1e-12)
    assert "Gradient RMS: up to ×10 (a)." in difference.describe(numbers)
    assert "Dead units: up to +30 % (a)." in difference.describe(numbers)


def test_only_layers_that_both_have_are_compared_by_name_and_in_the_order_of_a():
    one = run_of({"gradient_rms": [[1.0, 2.0, 3.0]]}, [0], ("a", "b", "c"))
    other = run_of({"gradient_rms": [[300.0, 10.0, 5.0]]}, [0], ("c", "a", "z"))
    numbers = difference.numbers([one, other])
    assert [fold.label for fold in numbers.folds] == ["a", "c"]
    np.testing.assert_allclose(numbers.tables["gradient_rms"], [[1.0], [2.0]])


def test_runs_sampled_at_different_steps_are_compared_over_the_steps_that_both_reached():
    one = run_of({"gradient_rms": np.ones((50, 1))}, np.arange(50), ("a",))
    other = run_of({"gradient_rms": np.full((5, 1), 100.0)}, [0, 10, 20, 30, 90], ("a",))
    numbers = difference.numbers([one, other])
    assert numbers.starts == (0, 10, 20, 30)
    np.testing.assert_allclose(numbers.tables["gradient_rms"], [[2.0] * 4])


@pytest.mark.drawing
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e-300])
def test_extreme_layers_draw_or_are_left_out(value):
    plain = run_of({"gradient_rms": np.ones((4, 2))}, np.arange(4), ("a", "b"))
    odd = run_of({"gradient_rms": np.full((4, 2), value)}, np.arange(4), ("a", "b"))
    for pair in ([plain, odd], [odd, plain], [odd, odd]):
        numbers = difference.numbers(pair)
        if numbers is not None:
            json.dumps(difference.draw(numbers).to_dict(), allow_nan=False)
            assert difference.describe(numbers)


@pytest.mark.drawing
def test_a_thousand_layers_stay_small():
    run = synthetic_runs.deep_run(layers=1000, steps=10_000)
    numbers = difference.numbers([run, msgspec.structs.replace(run, id="other")])
    assert len(numbers.folds) <= 60
    assert len(difference.draw(numbers).to_json(indent=None, validate=False)) < 400_000
    assert "No layer differs by half or more." in difference.describe(numbers)
