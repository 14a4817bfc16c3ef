"""Between sampled steps next to nothing is listened to; no count and no loss that is recorded may be wrong by that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from babysit.analysis.loss_curve import levels, values_of
from babysit.monitor.monitor import Monitor
from babysit.monitor.step_counting import ALL_LOSSES, COUNTING, IDLE, MOST_BETWEEN, READING, losses_every
from babysit.records.curves import TRAIN_LOSS, VAL_LOSS, Curves, Series
from babysit.records.run import Run

STEPS = 3000
INPUTS = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)


@pytest.fixture(autouse=True)
def as_torch_made_it() -> Iterator[None]:
    places = [(torch.autograd, "backward"), (torch.optim.Optimizer, "zero_grad"), (nn.Module, "zero_grad")]
    before = [getattr(owner, name) for owner, name in places]
    yield
    assert [getattr(owner, name) for owner, name in places] == before
    assert not _global_optimizer_pre_hooks
    assert not _global_optimizer_post_hooks


def made() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    return model, torch.optim.SGD(model.parameters(), lr=0.05)


def train(
    after: Callable[[int, nn.Module], None] = lambda step, model: None, steps: int = STEPS
) -> tuple[Run, list[float]]:
    """A watched training, and the losses as the script itself knows them."""
    (model, optimizer), losses = made(), []
    with Monitor(model, optimizer) as watching:
        for step in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(INPUTS), LABELS)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            assert watching.steps == step + 1
            after(step, model)
    return watching.run, losses


def test_steps_are_counted_one_by_one_and_every_recorded_loss_is_the_one_of_its_step():
    run, losses = train()
    curve = run.curves.get(TRAIN_LOSS)
    assert run.events.steps == STEPS == run.model_summary.optimizers[0].steps
    np.testing.assert_array_equal(curve.values, np.asarray(losses)[curve.steps])
    assert curve.steps[:ALL_LOSSES].tolist() == list(range(ALL_LOSSES))
    assert np.diff(curve.steps).max() <= MOST_BETWEEN
    assert len(curve) < 0.7 * STEPS  # of steps so short not every loss can be read within the budget
    assert abs(run.events.counts["zero_grad"] - STEPS) <= 2
    assert abs(run.events.counts["backward"] - STEPS) <= 2


def test_the_weights_are_bit_for_bit_those_of_an_unwatched_training():
    weights = []
    for watched in (False, True):
        model, optimizer = made()
        watching = Monitor(model, optimizer).start() if watched else None
        for _ in range(STEPS):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
        if watching is not None:
            watching.close()
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(*weights)


def test_an_evaluation_in_the_middle_is_seen():
    def evaluate(step: int, model: nn.Module) -> None:
        if step % 701 == 700:
            model.eval()
            with torch.no_grad():
                F.cross_entropy(model(INPUTS + 1), LABELS)
            model.train()

    run, _ = train(evaluate)
    assert run.curves.get(VAL_LOSS).steps.tolist() == [step + 1 for step in range(STEPS) if step % 701 == 700]


def test_a_second_optimizer_is_heard_from_its_first_step_on():
    other = nn.Linear(8, 3)
    second = torch.optim.SGD(other.parameters(), lr=0.01)

    def step_too(step: int, _: nn.Module) -> None:
        if step >= 1500:
            second.zero_grad()
            F.cross_entropy(other(INPUTS), LABELS).backward()
            second.step()

    model, optimizer = made()
    with Monitor() as watching:
        for step in range(2000):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
            step_too(step, model)
    assert [one.steps for one in watching.run.model_summary.optimizers] == [2000, 500]
    assert len(watching.run.curves.get(f"{TRAIN_LOSS}/1")) >= 495


def test_micro_batches_are_averaged_as_ever():
    (model, optimizer), losses = made(), []
    with Monitor(model, optimizer) as watching:
        for _ in range(2000):
            optimizer.zero_grad()
            parts = [F.cross_entropy(model(INPUTS[i::2]), LABELS[i::2]) / 2 for i in range(2)]
            for part in parts:
                part.backward()
            optimizer.step()
            losses.append(sum(part.item() for part in parts))
    curve = watching.run.curves.get(TRAIN_LOSS)
    np.testing.assert_allclose(curve.values, np.asarray(losses)[curve.steps], rtol=1e-6)
    assert abs(watching.run.events.counts["backward"] - 4000) <= 4


class Decorated(torch.optim.Optimizer):
    """As many write it: without gradients from the first line on."""

    def __init__(self, parameters: Iterator[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.05})

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad)


def test_an_optimizer_that_switches_gradients_off_is_not_taken_for_an_evaluation():
    model, _ = made()
    optimizer = Decorated(model.parameters())
    with Monitor(model, optimizer) as watching:
        for _ in range(1500):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
    assert len(watching.run.curves.get(TRAIN_LOSS)) == 1500
    assert "evaluation" not in watching.run.events.counts


def test_what_others_put_over_a_patch_meanwhile_stays_and_is_not_told_twice():
    model, optimizer = made()
    calls = {"zero_grad": 0, "backward": 0}
    originals = torch.optim.Optimizer.zero_grad, torch.autograd.backward

    def counted(name: str, original: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object, **kwargs: object) -> None:
            calls[name] += 1
            original(*args, **kwargs)

        return call

    losses: list[Tensor] = []
    with Monitor(model, optimizer) as watching:
        for step in range(1200):
            if step == 600:
                torch.optim.Optimizer.zero_grad = counted("zero_grad", torch.optim.Optimizer.zero_grad)  # type: ignore[method-assign]
                torch.autograd.backward = counted("backward", torch.autograd.backward)  # type: ignore[assignment]
            optimizer.zero_grad()
            losses.append(F.cross_entropy(model(INPUTS), LABELS))
            losses[-1].backward()
            optimizer.step()
    torch.optim.Optimizer.zero_grad, torch.autograd.backward = originals  # type: ignore[method-assign]
    curve = watching.run.curves.get(TRAIN_LOSS)
    assert calls == {"zero_grad": 600, "backward": 600}
    np.testing.assert_array_equal(curve.values, [losses[step].item() for step in curve.steps])


def test_two_watches_hear_what_each_wants():
    (model, optimizer), losses = made(), []
    with Monitor(model, optimizer) as first, Monitor(model, optimizer) as second:
        for _ in range(2000):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(INPUTS), LABELS)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    for watching in (first, second):
        curve = watching.run.curves.get(TRAIN_LOSS)
        assert watching.run.events.steps == 2000
        np.testing.assert_array_equal(curve.values, np.asarray(losses)[curve.steps])


def test_the_loss_of_so_many_steps_is_read_as_the_budget_allows():
    late = 100 * ALL_LOSSES
    assert losses_every(1.0, late) == losses_every(20e-3, late) == 1
    assert losses_every(100e-6, late) == MOST_BETWEEN
    for seconds in (2.4e-3, 4e-3, 6e-3, 15e-3):
        assert COUNTING + READING / losses_every(seconds, late) <= IDLE * seconds


def test_at_first_all_losses_are_read_and_then_fewer_bit_by_bit():
    every = [losses_every(100e-6, step) for step in (0, 999, 1000, 1500, 4000, 10**6)]
    assert every == [1, 1, 2, 3, 8, MOST_BETWEEN]


def test_a_curve_with_a_dense_beginning_is_judged_by_steps_and_not_by_values():
    steps = np.concatenate([np.arange(1000), np.arange(1000, 9000, 8)])
    curve = Series(steps, np.linspace(2.0, 1.0, 9000)[steps])
    even, values = values_of(curve)
    assert set(np.diff(even)) == {8.0}
    assert values[len(values) // 2] == pytest.approx(1.5, abs=0.01)
    level = levels(Run(id="", curves=Curves(series={TRAIN_LOSS: curve})))
    assert level is not None
    assert (level.recorded, level.steps) == (2000, 8993)
    assert level.end == pytest.approx(1.05, abs=0.01)
