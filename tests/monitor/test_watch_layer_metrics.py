"""Layer metrics against slow, obvious computations in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor.monitor import Monitor
from babysit.records.errors import UserError
from babysit.records.run import Run


def watched_run(steps: int = 25) -> tuple[Run, list[dict[str, float]]]:
    torch.manual_seed(1)
    inputs, labels = torch.randn(64, 10), torch.randint(0, 3, (64,))
    model = nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Linear(12, 3))
    with torch.no_grad():
        model[0].bias[:3] = -100.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    truth = []
    with Monitor(model, optimizer) as watching:
        for _ in range(steps):
            weight = model[0].weight.detach().double().numpy().copy()
            bias = model[0].bias.detach().double().numpy().copy()
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            gradient = model[0].weight.grad.double().numpy().copy()
            optimizer.step()
            hidden = np.maximum(inputs.double().numpy() @ weight.T + bias, 0)
            update = model[0].weight.detach().double().numpy() - weight
            truth.append(
                {
                    "gradient_rms": float(np.sqrt((gradient**2).mean())),
                    "update_ratio": float(np.linalg.norm(update) / np.linalg.norm(weight)),
                    "weight_rms": float(np.sqrt((weight**2).mean())),
                    "activation_mean": float(hidden.mean()),
                    "activation_std": float(hidden.std()),
                    "zeros": float((hidden == 0).mean()),
                    "dead": float((hidden == 0).all(0).mean()),
                }
            )
    return watching.run, truth


@pytest.mark.parametrize(
    "metric", ["gradient_rms", "update_ratio", "weight_rms", "activation_mean", "activation_std", "zeros"]
)
def test_statistics_agree_with_float64(metric: str) -> None:
    run, truth = watched_run()
    measured = run.layer_metrics.series(metric, "0")
    expected = [truth[step][metric] for step in run.layer_metrics.steps]
    np.testing.assert_allclose(measured, expected, rtol=2e-5)


def test_units_silent_on_every_sample_are_dead_and_no_others() -> None:
    run, truth = watched_run()
    dead = run.layer_metrics.series("dead", "0")
    # The same batch every step. Four batches of 64 are the first 256 samples: before, nothing is known.
    assert np.isnan(dead[:3]).all()
    assert dead[3] == pytest.approx(truth[0]["dead"])
    assert dead[-1] >= 3 / 12 - 1e-6


@pytest.mark.parametrize(("steps", "at"), [(140, 60), (500, 250)])
def test_units_that_die_in_the_middle_of_a_training_are_seen_and_named(steps: int, at: int) -> None:
    torch.manual_seed(0)
    centres = torch.randn(5, 12) * 2
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with Monitor(model, optimizer) as watching:
        for step in range(steps):
            if step == at:
                with torch.no_grad():
                    model[2].bias.fill_(-1e3)
            labels = torch.randint(5, (64,))
            loss = F.cross_entropy(model(centres[labels] + torch.randn(64, 12)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    dead, sampled = watching.run.layer_metrics.series("dead", "2"), watching.run.layer_metrics.steps
    assert dead[-1] == 1.0
    assert np.nanmax(dead[sampled < at]) < 0.4
    found = {finding.code: finding for finding in watching.run.findings}
    assert "D108" not in found
    # The loss jumped, so the steps after it were sampled, and four batches later it was known.
    assert at <= (found["A401"].first_step or 0) <= at + 8


@pytest.mark.parametrize("shape", [(1, 6), (6,)])
def test_what_a_batch_of_one_cannot_tell_is_not_recorded(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with Monitor(model, optimizer) as watching:
        for _ in range(15):
            optimizer.zero_grad()
            model(torch.randn(shape)).square().sum().backward()
            optimizer.step()
    for name in ("sample_std", "dead", "one_sided", "input_variation"):
        assert np.isnan([watching.run.layer_metrics.series(name, layer) for layer in ("0", "2")]).all(), name
    assert np.isnan(watching.run.layer_metrics.series("output_std", "2")).all()
    assert np.isfinite(watching.run.layer_metrics.series("output_std", "0")).all()


def test_every_statistic_measured_is_in_the_vocabulary() -> None:
    from babysit.metrics.catalogue import MEASURED_BY
    from babysit.records.layer_metrics import METRICS

    run, _ = watched_run()
    assert set(run.layer_metrics.values) <= set(METRICS)
    assert set(MEASURED_BY) == set(METRICS)


def test_saturation_counts_the_flat_part_only() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 2))
    with torch.no_grad():
        model[0].weight *= 60
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    inputs = torch.randn(256, 4)
    with Monitor(model, optimizer) as watching:
        F.mse_loss(model(inputs), torch.zeros(256, 2)).backward()
        optimizer.step()
    flat = (1 - torch.tanh(model[0](inputs).double()) ** 2 < 0.01).double().mean().item()
    assert flat > 0.8
    assert watching.run.layer_metrics.series("saturated", "0")[0] == pytest.approx(flat, abs=2e-3)


def test_equal_units_are_counted_and_unequal_ones_are_not() -> None:
    from babysit.metrics.parameters import unit_similarity

    rows = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    rows[1] = rows[4]
    assert float(unit_similarity(rows, None, 0)) == pytest.approx(2 / 6)
    assert float(unit_similarity(torch.zeros(5, 3), torch.zeros(5), 0)) == 1.0
    assert float(unit_similarity(torch.zeros(5, 3), torch.arange(5.0), 0)) == 0.0


def test_nan_is_counted_and_stops_nothing() -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    with Monitor(model, optimizer) as watching:
        for _ in range(8):
            optimizer.zero_grad()
            F.mse_loss(model(torch.ones(4, 3)), torch.zeros(4, 1)).backward()
            optimizer.step()
    run = watching.run
    assert run.layer_metrics.series("nonfinite", "")[:1].size == 1
    assert np.nanmax(run.layer_metrics.values["nonfinite"]) > 0
    assert not [event for event in run.events.kept if event.kind == "measurement_gap"]


@pytest.mark.parametrize(
    "arguments",
    [{"model": "net"}, {"optimizer": 3}, {"overhead": 0}, {"overhead": 2}, {"overhead": "much"}, {"overhead": -1}],
)
def test_a_wrong_argument_is_said_in_words(arguments: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Monitor(**arguments)  # type: ignore[arg-type]  # that is the point


def test_evaluations_without_gradient_become_validation_curves() -> None:
    torch.manual_seed(0)
    inputs, other = torch.randn(64, 4), torch.randn(40, 4)
    labels, others = inputs[:, :3].argmax(1), other[:, :3].argmax(1)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    expected_loss, expected_accuracy = [], []
    with Monitor(model, optimizer) as watching:
        for step in range(40):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            if step % 10 == 9:
                with torch.no_grad():
                    for rows in (slice(0, 30), slice(30, 40)):  # batches of unequal size
                        out = model(other[rows])
                        loss = F.cross_entropy(out, others[rows])
                        right = (out.argmax(1) == others[rows]).float().mean()
                        expected_loss.append((loss.item(), len(out)))
                        expected_accuracy.append((right.item(), len(out)))
                    (model(inputs).argmax(1) == labels).float().mean()  # over the training data
    run = watching.run

    def means(pairs: list[tuple[float, int]]) -> list[float]:
        return [
            sum(v * n for v, n in pairs[i : i + 2]) / sum(n for _, n in pairs[i : i + 2])
            for i in range(0, len(pairs), 2)
        ]

    np.testing.assert_allclose(run.curves.get("val/loss").values, means(expected_loss), rtol=1e-6)
    np.testing.assert_allclose(run.curves.get("val/accuracy").values, means(expected_accuracy), rtol=1e-6)
    assert run.curves.get("val/loss").steps.tolist() == [10, 20, 30, 40]


def test_an_average_of_weights_after_every_step_is_no_evaluation() -> None:
    model, average = nn.Linear(4, 3), nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        for _ in range(100):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.ones(5, 4)), torch.zeros(5, dtype=torch.long)).backward()
            optimizer.step()
            with torch.no_grad():
                for mean, now in zip(average.parameters(), model.parameters(), strict=True):
                    mean.mul_(0.9).add_(now, alpha=0.1)
    assert "evaluation" not in watching.run.events.counts
