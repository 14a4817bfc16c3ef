"""What may happen in the middle of a count steps: signals, other optimizers, blocks without gradients, patches of
others.
"""

from __future__ import annotations

import functools
import signal
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.monitor.patch import Patch
from babysit.records.curves import TRAIN_LOSS, VAL_LOSS
from babysit.records.run import Run

INPUTS = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)


def made(lr: float = 0.05) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    return model, torch.optim.SGD(model.parameters(), lr=lr)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(INPUTS), LABELS)
    loss.backward()
    optimizer.step()
    return loss.item()


def are_those_of(run: Run, losses: list[float], name: str = TRAIN_LOSS) -> None:
    curve = run.curves.get(name)
    np.testing.assert_allclose(curve.values, np.asarray(losses)[curve.steps], rtol=1e-6)


def test_a_signal_whose_handler_switches_gradients_off_stops_nothing() -> None:
    def handler(*_: object) -> None:
        with torch.no_grad():
            pass

    (model, optimizer), losses = made(), []
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        with Monitor(model, optimizer) as watching:
            losses = [step(model, optimizer) for _ in range(6000)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert watching.run.events.steps == 6000
    assert watching.run.curves.get(TRAIN_LOSS).steps[-1] > 5800
    are_those_of(watching.run, losses)


def test_of_two_networks_trained_in_turns_the_one_that_is_watched_has_its_own_loss() -> None:
    (model, optimizer), (other, second) = made(), made(0.01)
    losses = []
    with Monitor(model, optimizer) as first, Monitor(other, second) as last:
        for _ in range(2000):
            losses.append((step(model, optimizer), 2 * step(other, second)))
    are_those_of(first.run, [one for one, _ in losses])
    are_those_of(last.run, [other / 2 for _, other in losses])
    assert len(first.run.curves.get(TRAIN_LOSS)) == 2000
    assert first.run.events.counts.get("discarded", 0) == 0


def test_one_loss_for_two_optimizers_is_that_of_the_watched_one_whoever_steps_first() -> None:
    body, head, losses = nn.Linear(8, 8), nn.Linear(8, 3), []
    first, second = (torch.optim.SGD(part.parameters(), lr=0.05) for part in (body, head))
    with Monitor(head, second) as watching:
        for _ in range(200):
            first.zero_grad()
            second.zero_grad()
            loss = F.cross_entropy(head(body(INPUTS)), LABELS)
            loss.backward()
            first.step()
            second.step()
            losses.append(loss.item())
    assert len(watching.run.curves.get(TRAIN_LOSS)) == 200
    are_those_of(watching.run, losses)


def test_the_steps_of_another_optimizer_with_a_closure_are_no_evaluation() -> None:
    model, optimizer = made()
    second = torch.optim.LBFGS(model.parameters(), max_iter=3, lr=0.1)

    def closure() -> Tensor:
        second.zero_grad()
        loss = F.cross_entropy(model(INPUTS), LABELS)
        loss.backward()
        return loss

    with Monitor() as watching:
        for _ in range(1600):
            step(model, optimizer)
        for _ in range(20):
            second.step(closure)
    assert "evaluation" not in watching.run.events.counts
    assert not len(watching.run.curves.get(VAL_LOSS))
    assert watching.run.events.counts["backward"] <= 1600 + 20 * 4


def test_a_block_without_gradients_between_micro_batches_spoils_no_loss() -> None:
    (model, optimizer), losses = made(), []
    with Monitor(model, optimizer) as watching:
        for count in range(4000):
            optimizer.zero_grad()
            parts = []
            for i in range(2):
                part = F.cross_entropy(model(INPUTS[i::2]), LABELS[i::2]) / 2
                part.backward()
                parts.append(part.item())
                if i == 0 and count % 37 == 0:
                    with torch.no_grad():
                        model(INPUTS)
            optimizer.step()
            losses.append(sum(parts))
    are_those_of(watching.run, losses)
    assert abs(watching.run.events.counts["backward"] - 8000) <= 8
    assert abs(watching.run.events.counts["zero_grad"] - 4000) <= 4


@pytest.mark.parametrize("begins", range(1500, 1510))
def test_losses_are_read_on_when_a_patch_of_others_has_come_and_gone(begins: int) -> None:
    (model, optimizer), losses = made(), []
    original = torch.autograd.backward
    with Monitor(model, optimizer) as watching:
        for count in range(2500):
            if count == begins:
                patch = mock.patch.object(torch.autograd, "backward", wraps=torch.autograd.backward)
                patch.start()
            if count == begins + 37:
                patch.stop()
            losses.append(step(model, optimizer))
    assert torch.autograd.backward is original
    are_those_of(watching.run, losses)
    assert watching.run.curves.get(TRAIN_LOSS).steps[-1] > 2480


def test_a_patch_that_was_interrupted_while_it_was_put_is_put_back_all_the_same() -> None:
    class Owner:
        def call(self) -> int:
            return 1

    original = Owner.call
    patch = Patch(Owner, "call", lambda former: lambda self: former(self) + 1)
    patch.put()
    patch._on = False  # as if Ctrl-C had come just before it was set
    patch.undo()
    assert Owner.call is original


def test_what_outlives_a_watch_over_a_patch_is_not_told_twice_by_the_next() -> None:
    (model, optimizer), losses = made(), []
    original = torch.autograd.backward
    try:
        with Monitor(model, optimizer):
            step(model, optimizer)
            inner = torch.autograd.backward
            torch.autograd.backward = functools.partial(inner)  # type: ignore[assignment]
        with Monitor(model, optimizer) as watching:
            losses = [step(model, optimizer) for _ in range(30)]
    finally:
        torch.autograd.backward = original  # type: ignore[assignment]
    assert watching.run.events.counts["backward"] == 30
    are_those_of(watching.run, losses)


def test_clipping_does_not_keep_it_awake() -> None:
    (model, optimizer), losses = made(), []
    with Monitor(model, optimizer) as watching:
        for _ in range(3000):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(INPUTS), LABELS)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    are_those_of(watching.run, losses)
    assert len(watching.run.curves.get(TRAIN_LOSS)) < 2500
    assert watching.run.events.counts["clip"] == 3000
    assert abs(watching.run.events.counts["backward"] - 3000) <= 2


@pytest.mark.parametrize("which", ["generator", "discriminator"])
def test_one_side_of_a_healthy_gan_raises_no_alarm(which: str) -> None:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    discriminator = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    steps_of = [torch.optim.Adam(part.parameters(), 1e-4) for part in (generator, discriminator)]
    place = 0 if which == "generator" else 1
    ones, zeros, losses = torch.ones(32, 1), torch.zeros(32, 1), []
    cost = F.binary_cross_entropy_with_logits
    with Monitor((generator, discriminator)[place], steps_of[place]) as watching:
        for _ in range(1500):
            real, fake = torch.randn(32, 2) / 2 + 1, generator(torch.randn(32, 4))
            steps_of[1].zero_grad()
            told = cost(discriminator(real), ones) + cost(discriminator(fake.detach()), zeros)
            told.backward()
            steps_of[1].step()
            steps_of[0].zero_grad()
            fooled = cost(discriminator(fake), ones)
            fooled.backward()
            steps_of[0].step()
            losses.append((fooled.item(), told.item())[place])
    are_those_of(watching.run, losses)
    assert not watching.run.problems
