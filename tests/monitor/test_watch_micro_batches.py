"""The loss of a step is that of its whole batch, however the script cuts it and whatever it does to the pieces."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.curves import TRAIN_LOSS
from babysit.records.run import Run

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(256, 6, generator=GENERATOR)
LABELS = INPUTS[:, :3].argmax(1)
STEPS = 40  # twice as many as are looked at in full


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def batches(step: int, count: int) -> list[Tensor]:
    """Rows of the micro-batches of one step, of unequal sizes from step to step."""
    return [(torch.arange(16) + 16 * (step * count + place)) % 256 for place in range(count)]


PIECES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "left as they are": lambda out, y, _: F.cross_entropy(out, y),
    "divided by their number": lambda out, y, count: F.cross_entropy(out, y) / count,
    "a sum over the items of all": lambda out, y, count: F.cross_entropy(out, y, reduction="sum") / (len(y) * count),
    "a sum over their own items": lambda out, y, _: F.cross_entropy(out, y, reduction="sum") / len(y),
    "divided twice": lambda out, y, count: F.cross_entropy(out, y, reduction="sum") / len(y) / count,
    "a mean by hand": lambda out, y, count: F.cross_entropy(out, y, reduction="none").mean() / count,
    "times a share": lambda out, y, count: F.cross_entropy(out, y).mul(1 / count),
}


def recorded(piece: Callable[[Tensor, Tensor, int], Tensor], count: int) -> tuple[Run, list[float]]:
    """The run, and the loss of each step's whole batch."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    whole = []
    with Monitor(model, optimizer) as watching:
        for step in range(STEPS):
            optimizer.zero_grad()
            means = []
            for rows in batches(step, count):
                out = model(INPUTS[rows])
                piece(out, LABELS[rows], count).backward()
                means.append(F.cross_entropy(out.detach(), LABELS[rows]).item())
            optimizer.step()
            whole.append(float(np.mean(means)))
    return watching.run, whole


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("name", PIECES)
def test_micro_batches_of_one_loss_make_the_loss_of_the_whole_batch(name: str, count: int) -> None:
    run, whole = recorded(PIECES[name], count)
    np.testing.assert_allclose(run.curves.get(TRAIN_LOSS).values, whole, rtol=1e-4)
    assert run.model_summary is not None
    objective = run.model_summary.objectives[0]
    assert (objective.reduction, objective.scale) == ("mean", 1.0)


@pytest.mark.parametrize("count", [1, 4])
def test_sums_that_nothing_divides_add_up_as_in_one_piece(count: int) -> None:
    run, whole = recorded(lambda out, y, _: F.cross_entropy(out, y, reduction="sum"), count)
    np.testing.assert_allclose(run.curves.get(TRAIN_LOSS).values, 16 * count * np.asarray(whole), rtol=1e-4)
    assert run.model_summary is not None
    objective = run.model_summary.objectives[0]
    assert objective.reduction == "sum"
    assert objective.scale == pytest.approx(16 * count, rel=1e-3)


def test_pieces_of_unequal_size_normalized_by_the_items_of_all_are_added() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    whole = []
    with Monitor(model, optimizer) as watching:
        for step in range(STEPS):
            labels = LABELS.clone()
            labels[step % 5 :: 3] = -100  # padding, as in texts
            pieces = (torch.arange(10), torch.arange(10, 64), torch.arange(64, 90))
            items = sum(int((labels[rows] != -100).sum()) for rows in pieces)
            optimizer.zero_grad()
            for rows in pieces:
                (F.cross_entropy(model(INPUTS[rows]), labels[rows], reduction="sum") / items).backward()
            with torch.no_grad():
                whole.append(F.cross_entropy(model(INPUTS[:90]), labels[:90]).item())
            optimizer.step()
    run = watching.run
    np.testing.assert_allclose(run.curves.get(TRAIN_LOSS).values, whole, rtol=1e-4)
    assert run.model_summary is not None
    assert run.model_summary.objectives[0].reduction == "mean"


def test_a_loss_that_is_read_before_backward_is_no_second_loss_of_one_forward_pass() -> None:
    model, read = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        for step in range(STEPS):
            optimizer.zero_grad()
            for rows in batches(step, 4):
                loss = F.cross_entropy(model(INPUTS[rows]), LABELS[rows])
                read.append(loss.item())
                loss.backward()
            optimizer.step()
    whole = np.reshape(read, (STEPS, 4)).mean(1)
    np.testing.assert_allclose(watching.run.curves.get(TRAIN_LOSS).values, whole, rtol=1e-5)


@pytest.mark.parametrize("divided", [False, True])
def test_pieces_that_backward_itself_weighs_make_the_loss_of_the_whole_batch(divided: bool) -> None:
    model, own = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        for step in range(STEPS):
            optimizer.zero_grad()
            for rows in batches(step, 4):
                losses = F.cross_entropy(model(INPUTS[rows]), LABELS[rows], reduction="none")
                losses.backward(torch.full((16,), 1 / (16 * 4 if divided else 16)))
                own.append(losses.mean().item())
            optimizer.step()
    whole = np.reshape(own, (STEPS, 4)).mean(1)
    np.testing.assert_allclose(watching.run.curves.get(TRAIN_LOSS).values, whole, rtol=1e-5)
    assert watching.run.model_summary is not None
    assert watching.run.model_summary.objectives[0].scale == 1.0


@pytest.mark.parametrize("weight", [0.5, 0.25, 0.01, 3.0])
def test_different_losses_of_one_step_add_up_with_their_weights(weight: float) -> None:
    def penalty(out: Tensor, _: Tensor) -> Tensor:
        return out.square().mean()

    def smoothness(out: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(out.softmax(1), F.one_hot(y, 3).float())

    for other in (penalty, smoothness):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        own = []
        with Monitor(model, optimizer) as watching:
            for _ in range(STEPS):
                optimizer.zero_grad()
                out = model(INPUTS)
                first, second = F.cross_entropy(out, LABELS), weight * other(out, LABELS)
                first.backward(retain_graph=True)
                second.backward()
                optimizer.step()
                own.append(first.item() + second.item())
        np.testing.assert_allclose(watching.run.curves.get(TRAIN_LOSS).values, own, rtol=1e-5)


def test_an_auxiliary_network_of_its_own_adds_its_loss() -> None:
    model, other = network(), network()
    optimizer = torch.optim.SGD([*model.parameters(), *other.parameters()], lr=0.1)
    own = []
    with Monitor() as watching:
        for _ in range(STEPS):
            optimizer.zero_grad()
            first = F.cross_entropy(model(INPUTS), LABELS)
            first.backward()
            second = 0.5 * other(INPUTS).square().mean()
            second.backward()
            optimizer.step()
            own.append(first.item() + second.item())
    np.testing.assert_allclose(watching.run.curves.get(TRAIN_LOSS).values, own, rtol=1e-5)


def test_a_closure_that_makes_only_the_last_micro_batch_hides_none_before() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    whole = []
    with Monitor(model, optimizer) as watching:
        for step in range(STEPS):
            losses = []

            def closure(rows: Tensor, clear: bool, losses: list[float] = losses) -> Tensor:
                loss = F.cross_entropy(model(INPUTS[rows]), LABELS[rows])
                losses.append(loss.item())
                if clear:
                    optimizer.zero_grad()
                (loss / 4).backward()
                return loss

            *before, last = batches(step, 4)
            for place, rows in enumerate(before):
                closure(rows, place == 0)
            optimizer.step(lambda: closure(last, False))  # noqa: B023  called at once
            whole.append(float(np.mean(losses)))
    np.testing.assert_allclose(watching.run.curves.get(TRAIN_LOSS).values, whole, rtol=1e-5)


@pytest.mark.parametrize("pieces", [1, 4])
def test_of_a_closure_that_is_tried_often_only_the_first_try_counts(pieces: int) -> None:
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
    firsts = []
    with Monitor(model, optimizer) as watching:
        for step in range(6):
            tries = []

            def closure(step: int = step, tries: list[float] = tries) -> Tensor:
                optimizer.zero_grad()
                loss = torch.zeros(())
                for rows in batches(step, pieces):
                    part = F.cross_entropy(model(INPUTS[rows]), LABELS[rows]) / pieces
                    part.backward()
                    loss += part.detach()
                tries.append(loss.item())
                return loss

            optimizer.step(closure)
            firsts.append(tries[0])
            assert len(tries) > 1
    np.testing.assert_allclose(watching.run.curves.get(TRAIN_LOSS).values, firsts, rtol=1e-5)


@pytest.mark.parametrize("lr", [0.05, 1e-7])
def test_a_sum_divided_by_its_count_is_judged_as_the_mean_that_it_is(lr: float) -> None:
    def watched(loss_of: Callable[[Tensor, Tensor], Tensor]) -> Run:
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        with Monitor(model, optimizer) as watching:
            for _ in range(60):
                optimizer.zero_grad()
                loss_of(model(INPUTS), LABELS).backward()
                optimizer.step()
        return watching.run

    mean = watched(F.cross_entropy)
    divided = watched(lambda out, y: F.cross_entropy(out, y, reduction="sum") / torch.tensor(len(y)))
    assert mean.model_summary is not None
    assert divided.model_summary is not None
    assert msgspec.to_builtins(divided.model_summary.objectives) == msgspec.to_builtins(mean.model_summary.objectives)
    assert [one.code for one in divided.findings] == [one.code for one in mean.findings]
