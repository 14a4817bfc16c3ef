"""The heatmap puts every value in its row and column, however many there are."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from babysit.plots import heatmap
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.testing import synthetic_runs


def run_of(tables, steps, layers):
    return Run(id="x", layer_metrics=LayerMetrics(layers=layers, steps=np.asarray(steps), values=tables))


def test_each_value_stands_in_its_row_and_column():
    steps = [0, 1, 2, 10, 20]
    table = np.arange(10, dtype="float64").reshape(5, 2) / 10
    numbers = heatmap.numbers(run_of({"dead": table}, steps, ("a", "b")))
    np.testing.assert_array_equal(numbers.tables["dead"], table.T)
    assert numbers.starts == (0, 1, 2, 10, 20)
    assert numbers.ends == (1, 2, 10, 20, 21)


def test_ten_thousand_steps_become_at_most_120_columns_on_a_log_axis_and_none_is_empty():
    steps = np.arange(0, 10_000, 7)
    table = np.random.default_rng(0).random((len(steps), 3))
    numbers = heatmap.numbers(run_of({"dead": table}, steps, ("a", "b", "c")))
    assert numbers.log_time
    assert 40 < len(numbers.starts) <= 120
    assert numbers.starts[0] == 0
    assert numbers.ends[-1] == steps[-1] + 1
    assert np.isfinite(numbers.tables["dead"]).all()
    assert np.all(np.diff(numbers.starts) > 0)


def test_the_worst_layer_of_a_folded_row_is_shown():
    layers = tuple(f"blocks.{i // 10}.l{i % 10}" for i in range(200))
    table = np.zeros((3, 200))
    table[2, 57] = 0.9
    numbers = heatmap.numbers(run_of({"dead": table}, [0, 1, 2], layers))
    assert len(numbers.folds) == 20
    assert numbers.tables["dead"][5].tolist() == [0, 0, 0.9]
    assert "90 % in blocks.5" in heatmap.describe(numbers)


def test_zero_and_infinite_gradients_take_the_ends_of_the_scale():
    table = np.array([[0.0, 1e-3], [np.inf, 1e-2]])
    numbers = heatmap.numbers(run_of({"gradient_rms": table}, [0, 1], ("a", "b")))
    values = [row["values"] for row in heatmap.draw(numbers).to_dict()["datasets"].popitem()[1]]
    assert np.isfinite(np.array(values)).all()
    assert values[0][0] < values[1][0]
    assert values[0][1] >= values[1][1]


def test_nan_and_infinite_values_are_covered_from_where_they_begin():
    numbers = heatmap.numbers(synthetic_runs.diverging_run())
    assert len(numbers.broken) == 4
    assert min(start for _, start, _ in numbers.broken) == 116
    assert "NaN or infinite values from step 116" in heatmap.describe(numbers)


def test_the_statistic_shown_first_is_the_one_the_diagnosis_is_about():
    assert heatmap.numbers(synthetic_runs.dead_relu_run()).first == "dead"
    assert heatmap.numbers(synthetic_runs.diverging_run()).first == "update_ratio"
    assert heatmap.numbers(synthetic_runs.healthy_run()).first == "gradient_rms"


def test_statistics_that_were_never_measured_are_not_offered():
    numbers = heatmap.numbers(synthetic_runs.healthy_run())
    assert "saturated" not in numbers.tables
    options = heatmap.draw(numbers).to_dict()["params"][0]["bind"]["options"]
    assert options == ["gradient_rms", "update_ratio", "dead", "activation_std"]


@pytest.mark.drawing
def test_a_thousand_layers_over_ten_thousand_steps_stay_small():
    numbers = heatmap.numbers(synthetic_runs.deep_run(layers=1000, steps=10_000))
    assert len(numbers.folds) <= 60
    size = len(heatmap.draw(numbers).to_json(indent=None, validate=False))
    assert size < 400_000


def test_a_run_without_sampled_steps_has_no_heatmap():
    run = msgspec.structs.replace(synthetic_runs.healthy_run(), layer_metrics=LayerMetrics(layers=("a",)))
    assert heatmap.numbers(run) is None
