"""The shape of a loss curve, activations over time, the learning rate beside the losses, and what watching cost."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor.monitor import Monitor
from babysit.plots import activations, curve_shape, losses, overhead
from babysit.plots.catalogue import PLOTS
from babysit.plots.gap import between
from babysit.plots.points import Line
from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Overhead, Run
from babysit.testing import synthetic_runs

SHARE = np.linspace(0, 1, 400)
NOISE = np.random.default_rng(0).normal(size=400)


def with_curves(**series):
    made = {name.replace("_", "/"): Series(steps=np.arange(len(v)), values=np.asarray(v)) for name, v in series.items()}
    return Run(id="x", curves=Curves(series=made))


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (2.3 * (1 - 0.15 * SHARE) + 0.03 * NOISE, "learning rate too low"),
        (np.full(400, 2.3) + 0.01 * NOISE, "learning rate too low"),
        (1.4 + 0.9 * np.exp(-SHARE / 0.02) + 0.05 * NOISE, "learning rate too high"),
        (2.3 + 4 * SHARE**2 + 0.05 * NOISE, "learning rate far too high"),
        (np.where(SHARE > 0.5, np.nan, 2.3), "learning rate far too high"),
        (0.1 + 2.2 * np.exp(-SHARE / 0.1) + 0.01 * NOISE, "good learning rate"),
        (0.5 + 1.8 * np.exp(-SHARE / 0.15) + 0.05 * NOISE, "good learning rate"),
    ],
)
def test_a_curve_is_nearest_to_the_shape_of_its_lr(values, shape):
    numbers = curve_shape.numbers(with_curves(train_loss=values))
    assert numbers.nearest == shape
    assert shape in curve_shape.describe(numbers)


@pytest.mark.parametrize("values", [np.ones(29), np.linspace(1, -1, 100), np.zeros(100), np.full(50, np.nan)])
def test_too_short_negative_zero_and_broken_curves_have_no_shape(values):
    assert curve_shape.numbers(with_curves(train_loss=values)) is None


def test_a_scale_of_the_loss_does_not_change_its_shape():
    values = 0.1 + 2.2 * np.exp(-SHARE / 0.1)
    one, other = (curve_shape.numbers(with_curves(train_loss=factor * values)) for factor in (1.0, 1e6))
    np.testing.assert_allclose(one.values, other.values)


def test_the_layer_of_the_diagnosis_is_shown_first_with_its_shares():
    numbers = activations.numbers(synthetic_runs.dead_relu_run())
    assert numbers.layers[numbers.first] == "hidden.1"
    assert "Dead units: 92 %." in activations.describe(numbers)
    assert set(numbers.shares) == {"zeros", "dead"}  # nothing there can saturate


def test_without_a_diagnosis_the_layer_that_stands_out_most_is_shown_first():
    std = np.ones((5, 3))
    std[3, 2] = 1e-3
    tables = {"activation_mean": np.zeros((5, 3)), "activation_std": std}
    run = Run(id="x", layer_metrics=LayerMetrics(layers=("a", "b", "c"), steps=np.arange(5), values=tables))
    numbers = activations.numbers(run)
    assert numbers.layers[numbers.first] == "c"
    np.testing.assert_array_equal(numbers.std, std.T)


def test_histograms_over_time_follow_what_a_network_passes_on():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 3))
    nn.init.normal_(network[0].weight, std=3.0)  # nearly every unit at -1 or 1: two heaps, one spread from the mean
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    with Monitor(network, optimizer) as watching:
        for _ in range(30):
            x = torch.randn(64, 16)
            optimizer.zero_grad()
            F.cross_entropy(network(x), x[:, :3].argmax(1)).backward()
            optimizer.step()
    numbers = activations.numbers(watching.run)
    found = numbers.histograms
    first = numbers.layers.index("0")
    assert found.steps[0] == 0
    assert found.ends[-1] == numbers.steps[-1] + 1
    np.testing.assert_allclose(found.percent[first].sum(axis=-1), 100, atol=6)  # rounded to whole percents
    outer, middle = found.percent[first][:, [3, 4, 7, 8]].sum(axis=-1), found.percent[first][:, [5, 6]].sum(axis=-1)
    assert (outer > 80).all()
    assert (middle < 20).all()
    drawn = json.dumps(activations.draw(numbers).to_dict())
    assert "histogram_steps" in drawn


def test_of_a_thousand_layers_the_ones_that_stand_out_can_be_chosen():
    run = synthetic_runs.deep_run(layers=1000, steps=10_000)
    run.layer_metrics.values["activation_std"][:, 777] = 1e-6
    numbers = activations.numbers(run)
    assert len(numbers.layers) == 40
    assert "blocks.194.layer1" in numbers.layers
    assert len(activations.draw(numbers).to_json(indent=None, validate=False)) < 300_000


def test_a_lr_that_changes_gets_its_line_and_one_that_stays_its_words():
    falling = with_curves(train_loss=np.linspace(2, 1, 100), lr=np.geomspace(0.1, 0.001, 100))
    assert "Learning rate (dotted, right axis): 0.1 initially, 0.001 at the end." in losses.describe(
        losses.numbers(falling)
    )
    assert "learning rate" in json.dumps(losses.draw(losses.numbers(falling)).to_dict())
    steady = with_curves(train_loss=np.linspace(2, 1, 100), lr=np.full(100, 0.1))
    assert "Constant learning rate 0.1." in losses.describe(losses.numbers(steady))
    assert "learning rate" not in json.dumps(losses.draw(losses.numbers(steady)).to_dict())


def test_the_gap_of_the_losses_is_where_both_are_known():
    one = Line(np.array([0, 10]), np.array([1.0, 0.0]))
    other = Line(np.array([5, 20]), np.array([2.0, 2.0]))
    gap = between(one, other)
    assert gap.steps == (5, 10)
    assert gap.low == (0.5, 0.0)
    assert gap.high == (2.0, 2.0)
    assert between(one, Line(np.array([11]), np.array([0.0]))).steps == ()


def test_what_watching_cost_says_whether_it_kept_its_budget():
    run = synthetic_runs.healthy_run()
    assert "within its budget of 1 %" in overhead.describe(overhead.numbers(run))
    dear = msgspec.structs.replace(run, overhead=Overhead(budget=0.01, share=0.05, steps=1200))
    assert "above its budget of 1 %" in overhead.describe(overhead.numbers(dear))
    assert overhead.numbers(msgspec.structs.replace(run, overhead=None)) is None


@pytest.mark.drawing
def test_figures_show_in_notebooks_as_they_are():
    run = synthetic_runs.healthy_run()
    for plot in PLOTS:
        told = plot.draw(plot.numbers(run))._repr_mimebundle_(None, None)
        bundle = told[0] if isinstance(told, tuple) else told  # with metadata or without, by the renderer
        assert any("vegalite" in kind or kind == "text/html" for kind in bundle)
