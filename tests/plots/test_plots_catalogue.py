"""Every figure: listed, drawn from every kind of run, valid, and silent where there is nothing to show."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

import babysit.plots
from babysit.plots.catalogue import COMPARED, PLOTS
from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.testing import synthetic_runs

RUNS = {
    "healthy": synthetic_runs.healthy_run,
    "diverging": synthetic_runs.diverging_run,
    "hostile": synthetic_runs.hostile_names_run,
    "overfit": synthetic_runs.overfit_run,
}


def test_every_figure_file_is_listed_in_the_catalogue():
    folder = Path(babysit.plots.__file__).parent
    figures = {file.stem for file in folder.glob("*.py") if "\ndef draw(numbers: Numbers)" in file.read_text()}
    assert figures == {plot.name for plot in PLOTS + COMPARED}


@pytest.mark.drawing
@pytest.mark.parametrize("name", RUNS)
def test_every_figure_is_valid_vega_lite_and_strict_json(name):
    run = RUNS[name]()
    drawn = 0
    for plot in PLOTS:
        numbers = plot.numbers(run)
        if numbers is None:
            continue
        specification = plot.draw(numbers).to_dict()  # checks against the schema
        json.dumps(specification, allow_nan=False)
        assert plot.describe(numbers).strip().endswith(".")
        drawn += 1
    assert drawn >= 4


def views(specification, data=None, transformed=False):
    """Yield every unit of a figure with the name of its data and whether a transform may add columns."""
    data = specification.get("data", data)
    transformed = transformed or "transform" in specification
    if "encoding" in specification:
        yield specification["encoding"], data, transformed
    for layer in specification.get("layer", []):
        yield from views(layer, data, transformed)


def test_every_encoded_field_is_a_column_of_its_data():
    run = synthetic_runs.healthy_run()
    steps = np.arange(100)
    decayed = Series(steps=steps, values=np.geomspace(0.1, 0.001, 100))
    run = msgspec.structs.replace(run, curves=Curves(series={**run.curves.series, "lr": decayed}))
    seen = 0
    for plot in PLOTS:
        specification = plot.draw(plot.numbers(run)).to_dict()
        for encoding, data, transformed in views(specification):
            columns = {column for row in specification["datasets"].get(data.get("name"), []) for column in row}
            fields = {
                channel["field"] for channel in encoding.values() if isinstance(channel, dict) and "field" in channel
            }
            if not transformed and columns:
                assert fields <= columns, plot.name
                seen += 1
    assert seen > 20


def test_the_heat_map_selects_rows_and_colors_by_its_own_parameter():
    figure = next(plot for plot in PLOTS if plot.name == "heatmap")
    specification = figure.draw(figure.numbers(synthetic_runs.healthy_run())).to_dict()
    (name,) = (parameter["name"] for parameter in specification["params"] if "bind" in parameter)
    rows = specification["datasets"][specification["data"]["name"]]
    field = specification["transform"][0]["filter"].removeprefix("datum.").removesuffix(f" === {name}")
    assert all(field in row for row in rows)
    scale = specification["encoding"]["color"]["scale"]
    assert all(part["expr"].startswith(f"{name} === ") for part in (scale["scheme"], *scale["domain"]))


def test_the_healthy_run_shows_every_figure():
    run = synthetic_runs.healthy_run()
    assert [plot.name for plot in PLOTS if plot.numbers(run) is None] == []


def test_an_empty_run_shows_no_figure_and_each_one_says_what_it_needs():
    run = Run(id="empty")
    assert all(plot.numbers(run) is None for plot in PLOTS)
    assert all(plot.needs for plot in PLOTS)


@pytest.mark.drawing
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e308, -1e308, 5e-324])
def test_a_run_whose_every_number_is_extreme_still_draws(value):
    run = synthetic_runs.healthy_run()
    series = {name: Series(steps=s.steps, values=np.full(len(s), value)) for name, s in run.curves.series.items()}
    tables = {
        name: np.full(np.shape(table), value, dtype="float64") for name, table in run.layer_metrics.values.items()
    }
    experiments = tuple(
        msgspec.structs.replace(
            experiment,
            measured=dict.fromkeys(experiment.measured, value),
            expected=dict.fromkeys(experiment.expected, value),
            curves={
                name: Series(steps=s.steps, values=np.full(len(s), value)) for name, s in experiment.curves.items()
            },
        )
        for experiment in run.experiments
    )
    trials = tuple(
        msgspec.structs.replace(t, metric=value, parameters=dict.fromkeys(t.parameters, value)) for t in run.trials
    )
    layer_metrics = LayerMetrics(layers=run.layer_metrics.layers, steps=run.layer_metrics.steps, values=tables)
    extreme = msgspec.structs.replace(
        run,
        curves=Curves(series=series),
        layer_metrics=layer_metrics,
        experiments=experiments,
        trials=trials,
        findings=(),
    )
    for plot in PLOTS:
        numbers = plot.numbers(extreme)
        if numbers is not None:
            json.dumps(plot.draw(numbers).to_dict(validate=False), allow_nan=False)
            assert plot.describe(numbers)


@pytest.mark.drawing
def test_a_run_of_one_step_still_draws():
    run = synthetic_runs.healthy_run()
    one = Curves(series={name: Series(steps=s.steps[:1], values=s.values[:1]) for name, s in run.curves.series.items()})
    tables = {name: table[:1] for name, table in run.layer_metrics.values.items()}
    layer_metrics = LayerMetrics(layers=run.layer_metrics.layers, steps=run.layer_metrics.steps[:1], values=tables)
    short = msgspec.structs.replace(run, curves=one, layer_metrics=layer_metrics)
    for plot in PLOTS:
        numbers = plot.numbers(short)
        if numbers is not None:
            assert "mark" in json.dumps(plot.draw(numbers).to_dict(), allow_nan=False)
