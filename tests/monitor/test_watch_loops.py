"""Loops that do not step once a batch: accumulation, closures, compiled code, optimizers and trainings one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(256, 6, generator=GENERATOR)
LABELS = INPUTS[:, :3].argmax(1)


def made(lr: float = 0.05) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    return model, torch.optim.AdamW(model.parameters(), lr=lr)


def problems(run: Run) -> list[str]:
    return [f"{alarm.code}: {alarm.message}" for alarm in run.problems]


@pytest.mark.parametrize("told", ["nothing", "model", "optimizer"])
@pytest.mark.parametrize("micro_batches", [4, 16])
def test_what_is_gathered_before_the_first_step_is_one_batch(told: str, micro_batches: int) -> None:
    model, optimizer = made()
    given = {"nothing": (), "model": (model,), "optimizer": (model, optimizer)}[told]
    losses = []
    with Monitor(*given) as watching:
        for step in range(60 * micro_batches):
            rows = torch.arange(step * 16, step * 16 + 16) % 256
            loss = F.cross_entropy(model(INPUTS[rows]), LABELS[rows])
            losses.append(loss.item())
            (loss / micro_batches).backward()
            if step % micro_batches == micro_batches - 1:
                optimizer.step()
                optimizer.zero_grad()
    run = watching.run
    assert run.events.steps == 60
    expected = np.reshape(losses, (60, micro_batches)).mean(axis=1)
    np.testing.assert_allclose(run.curves.get("train/loss").values, expected, rtol=1e-5)
    assert problems(run) == []


def test_what_an_epoch_leaves_over_is_carried_into_the_next() -> None:
    model, optimizer = made()
    losses, expected = [], []
    with Monitor(model, optimizer) as watching:
        for _, batch in itertools.product(range(4), range(7)):
            rows = torch.arange(batch * 16, batch * 16 + 16)
            loss = F.cross_entropy(model(INPUTS[rows]), LABELS[rows])
            losses.append(loss.item())
            (loss / 3).backward()
            if batch % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
                expected.append(np.mean(losses))
                losses.clear()
    np.testing.assert_allclose(watching.run.curves.get("train/loss").values, expected, rtol=1e-5)


def test_weights_changed_by_hand_are_steps_and_a_loop_without_any_step_stands_still() -> None:
    model, _ = made()
    with Monitor(model) as watching:
        for _ in range(40):
            F.cross_entropy(model(INPUTS), LABELS).backward()
            with torch.no_grad():
                for weight in model.parameters():
                    weight.sub_(0.1 * weight.grad)
                    weight.grad = None
    assert watching.run.events.steps == 39  # the last one ends with the next backward, which never came
    said = [finding.message for finding in watching.run.findings if finding.code == "T001"]
    assert ["without a step of a torch.optim optimizer" in one for one in said] == [True]
    model, optimizer = made()
    with Monitor() as watching:
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
    assert watching.run.events.steps == 59
    assert "T001" not in [finding.code for finding in watching.run.findings]


def nll_gather(out: Tensor, labels: Tensor) -> Tensor:
    return -F.log_softmax(out, 1).gather(1, labels[:, None]).mean()


def by_logsumexp(out: Tensor, labels: Tensor) -> Tensor:
    return (torch.logsumexp(out, 1) - out.gather(1, labels[:, None]).squeeze(1)).mean()


@pytest.mark.parametrize("loss", [nll_gather, by_logsumexp], ids=lambda loss: loss.__name__)
def test_likelihoods_written_by_hand_raise_no_alarm(loss) -> None:
    model, optimizer = made()
    with Monitor() as watching:
        for _ in range(200):
            optimizer.zero_grad()
            loss(model(INPUTS), LABELS).backward()
            optimizer.step()
    assert problems(watching.run) == []


def test_a_deviation_that_the_network_tells_may_fall_without_a_floor() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    target = INPUTS[:, :1].sin()
    with Monitor() as watching:
        for _ in range(400):
            mean, log_std = model(INPUTS).chunk(2, 1)
            optimizer.zero_grad()
            (0.5 * ((target - mean) / log_std.exp()) ** 2 + log_std).mean().backward()
            optimizer.step()
    assert watching.run.curves.get("train/loss").values[-1] < -1
    assert problems(watching.run) == []


def test_a_compiled_network_is_measured_by_its_weights_and_nothing_false_is_said() -> None:
    model, _ = made()
    optimizer = torch.optim.SGD(model.parameters(), lr=20.0)
    with Monitor() as watching:
        compiled = torch.compile(model, backend="eager")
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(compiled(INPUTS), LABELS).backward()
            optimizer.step()
    run = watching.run
    assert "update_ratio" in run.layer_metrics.values
    assert run.root_cause is not None
    assert run.root_cause.code == "U601"
    assert "W703" not in [finding.code for finding in run.findings]


def test_the_first_weights_of_a_closure_are_those_before_it() -> None:
    model, _ = made()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=10)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(INPUTS), LABELS)
        loss.backward()
        return loss

    with Monitor() as watching:
        for _ in range(3):
            optimizer.step(closure)
    measured = watching.run.layer_metrics.series("weight_rms", "0")
    assert measured[0] == pytest.approx(before["0.weight"].square().mean().sqrt().item(), rel=1e-5)


def test_a_new_optimizer_for_the_same_weights_goes_on_with_the_steps() -> None:
    model, _ = made()
    with Monitor() as watching:
        for _ in range(50):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert watching.run.events.steps == 50
    assert len(watching.run.curves.get("train/loss")) == 50


def test_a_later_training_that_is_lost_is_told() -> None:
    with Monitor() as watching:
        for lr in (0.1, 1e30):
            model, _ = made()
            optimizer = torch.optim.SGD(model.parameters(), lr=lr)
            for _ in range(40):
                optimizer.zero_grad()
                F.cross_entropy(model(INPUTS), LABELS).backward()
                optimizer.step()
    assert watching.run.root_cause is not None
    assert watching.run.root_cause.code == "F906"
    assert "optimizer 2" in watching.run.root_cause.message
