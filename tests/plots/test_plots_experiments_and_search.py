"""Experiments, depth and search: what is shown is what was measured."""

from __future__ import annotations

import msgspec
import numpy as np

from babysit.plots import initial_signal, lr_range, overfit_tiny, search_importance, search_scatter
from babysit.records.run import Run
from babysit.records.trial import Trial, TrialState
from babysit.testing import synthetic_runs


def test_the_range_test_is_drawn_by_lr_and_not_by_try():
    run = synthetic_runs.healthy_run()
    experiment = run.experiment("lr-range")
    numbers = lr_range.numbers(run)
    np.testing.assert_array_equal(numbers.raw.steps, experiment.curves["lr"].values)
    assert numbers.suggested == experiment.measured["suggested"]
    assert "suggested: 0.0041" in lr_range.describe(numbers)


def test_no_usable_lr_is_said_plainly():
    experiment = msgspec.structs.replace(
        synthetic_runs.healthy_run().experiment("lr-range"), measured={"suggested": float("nan")}
    )
    numbers = lr_range.numbers(Run(id="x", experiments=(experiment,)))
    assert lr_range.describe(numbers).endswith("no usable one was found.")
    assert len(lr_range.draw(numbers).to_dict()["layer"]) == 2


def test_tiny_losses_of_exactly_zero_keep_the_log_axis_alive():
    experiment = synthetic_runs.healthy_run().experiment("overfit-tiny")
    loss = experiment.curves["loss"]
    zeroed = msgspec.structs.replace(loss, values=np.where(loss.steps > 30, 0.0, loss.values))
    run = Run(id="x", experiments=(msgspec.structs.replace(experiment, curves={"loss": zeroed}),))
    domain = overfit_tiny.draw(overfit_tiny.numbers(run)).to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert 0 < domain[0] < domain[1]


def test_depth_counts_from_one_and_zeros_are_counted_not_drawn():
    run = synthetic_runs.hundred_layers_run()
    table = run.layer_metrics.values["gradient_rms"]
    table[0, :3] = 0.0
    numbers = initial_signal.numbers(run)
    depths, values = numbers.curves["gradient RMS"]
    assert depths[0] == 4
    assert values[0] == np.float64(table[0, 3])
    assert "3 exact zeros are not drawn" in initial_signal.describe(numbers)


def test_every_trial_is_a_point_and_every_stage_a_box():
    run = synthetic_runs.search_run()
    numbers = search_scatter.numbers(run)
    assert len(numbers.points) == 24
    assert [box.stage for box in numbers.boxes] == ["coarse", "fine"]
    assert numbers.boxes[1].x == (8e-4, 1e-2)
    best = max((t for t in run.trials if t.metric is not None), key=lambda t: t.metric)
    assert numbers.best.number == best.number
    assert numbers.x.log
    assert numbers.y.name == "weight_decay"


def test_stopped_trials_have_another_shape_than_finished_ones():
    figure = search_scatter.draw(search_scatter.numbers(synthetic_runs.search_run())).to_dict()
    shapes = [layer["mark"].get("shape", "circle") for layer in figure["layer"] if layer["mark"]["type"] == "point"]
    assert shapes[:2] == ["cross", "circle"]


def test_a_search_of_one_hyperparameter_is_drawn_against_the_metric():
    trials = tuple(
        Trial(number=i, stage="one", parameters={"lr": 10.0**-i}, state=TrialState.COMPLETE, metric=0.1 * i)
        for i in range(1, 6)
    )
    numbers = search_scatter.numbers(Run(id="x", trials=trials))
    assert [point.y for point in numbers.points] == [point.metric for point in numbers.points]
    assert numbers.x.log


def test_choices_without_numbers_are_left_out_of_the_scatter():
    trials = (Trial(number=0, stage="s", parameters={"activation": "relu"}, metric=1.0),)
    assert search_scatter.numbers(Run(id="x", trials=trials)) is None


def test_importance_finds_the_one_hyperparameter_that_matters():
    generator = np.random.default_rng(5)
    trials = []
    for number in range(60):
        lr, other = 10 ** generator.uniform(-5, -1), generator.uniform(0, 1)
        kind = ("adam", "sgd")[number % 2]
        metric = -((np.log10(lr) + 3) ** 2) + 0.1 * generator.normal()
        parameters = {"lr": float(lr), "dropout": float(other), "optimizer": kind, "fixed": 1}
        trials.append(Trial(number=number, stage="s", parameters=parameters, state=TrialState.COMPLETE, metric=metric))
    shares = search_importance.numbers(Run(id="x", trials=tuple(trials))).shares
    assert next(iter(shares)) == "lr"
    assert shares["lr"] > 0.9
    assert shares["dropout"] < 0.2
    assert shares["optimizer"] < 0.2
    assert "fixed" not in shares


def test_too_few_trials_have_no_importance():
    run = synthetic_runs.search_run()
    assert search_importance.numbers(msgspec.structs.replace(run, trials=run.trials[:7])) is None
