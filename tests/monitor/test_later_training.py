"""Trainings that a program runs one after another are measured separately; optimizers that alternate are not."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor import torch_events
from babysit.monitor.later_training import MOST_TRAININGS
from babysit.monitor.monitor import Monitor
from babysit.records.run import Run, Status
from babysit.records.verdict import Verdict


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    x, y = samples()
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        step(model, optimizer)


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr)


def runs_of(program: Callable[[], object]) -> list[Run]:
    """The runs of all trainings of a program, in order."""
    torch.manual_seed(0)
    runs: list[Run] = []
    with Monitor(on_next=runs.append) as watching:
        program()
    return [*runs, watching.run]


def test_the_training_after_the_first_is_measured_and_judged_as_well() -> None:
    def program() -> None:
        first = network()
        train(first, sgd(first), 60)
        second = network()
        for parameter in second.parameters():
            parameter.requires_grad = parameter.dim() > 1
        biases = [parameter for parameter in second.parameters() if parameter.dim() == 1]
        train(second, torch.optim.SGD(biases, lr=0.1), 50)

    first, second = runs_of(program)
    assert [first.events.steps, second.events.steps] == [60, 50]
    assert first.status is second.status is Status.FINISHED
    assert not first.problems
    assert second.verdict is Verdict.PROBLEMS
    assert second.root_cause is not None
    assert second.root_cause.code == "W703"
    assert len(first.curves.get("train/loss")) == 60
    assert len(second.curves.get("train/loss")) == 50
    assert second.id != first.id


def test_fine_tuning_the_same_network_is_a_training_of_its_own() -> None:
    def program() -> None:
        model = network()
        train(model, sgd(model), 40)
        model[2] = nn.Linear(16, 3)
        train(model, sgd(model[2]), 40)

    first, second = runs_of(program)
    assert second.model_summary is not None
    (optimizer,) = second.model_summary.optimizers
    assert optimizer.groups[0].tensors == 2
    assert first.model_summary is not None
    assert len(first.model_summary.optimizers) == 1


def test_a_discriminator_that_is_trained_first_belongs_to_the_same_training() -> None:
    def program() -> None:
        discriminator, generator = network(), network()
        first = sgd(discriminator)
        train(discriminator, first, 40)
        second = sgd(generator)
        for _ in range(40):
            step(generator, second)
            step(discriminator, first)

    (run,) = runs_of(program)
    assert run.events.steps == 80
    assert not [finding for finding in run.findings if finding.code == "W702"]


def test_actor_and_critic_that_step_in_blocks_belong_to_the_same_training() -> None:
    def program() -> None:
        actor, critic = network(), network()
        first, second = sgd(actor), sgd(critic)
        for _ in range(3):
            train(actor, first, 80)
            train(critic, second, 80)

    assert [run.events.steps for run in runs_of(program)] == [240]


def test_networks_whose_optimizers_are_all_made_first_are_separate_after_many_steps() -> None:
    def program() -> None:
        one, other = network(), network()
        first, second = sgd(one), sgd(other)
        train(one, first, 60)
        train(other, second, 300)

    first, second = runs_of(program)
    assert first.events.steps == 60
    assert second.events.steps == 100  # the first 200 alone could still have been one block of two in turns


def test_a_new_optimizer_for_the_same_weights_continues_the_training() -> None:
    def program() -> None:
        model = network()
        for _ in range(3):
            train(model, sgd(model), 30)

    assert [run.events.steps for run in runs_of(program)] == [90]


def test_a_short_later_training_leaves_the_first_as_it_is() -> None:
    def program() -> None:
        model, other = network(), network()
        train(model, sgd(model), 40)
        train(other, sgd(other), 5)

    assert [run.events.steps for run in runs_of(program)] == [40]


def test_folds_beyond_the_most_are_named_as_not_measured() -> None:
    def program() -> None:
        for _ in range(MOST_TRAININGS + 1):
            model = network()
            train(model, sgd(model), 25)

    runs = runs_of(program)
    assert len(runs) == MOST_TRAININGS
    assert [finding.code for finding in runs[-1].findings if "another optimizer" in finding.message.lower()] == ["T001"]


def test_without_a_receiver_only_the_first_training_is_measured() -> None:
    first, second = network(), network()
    with Monitor() as watching:
        train(first, sgd(first), 40)
        train(second, sgd(second), 40)
    assert watching.run.events.steps == 40
    assert any(finding.code == "T001" for finding in watching.run.findings)


def test_weights_and_random_state_are_the_same_and_torch_is_as_before() -> None:
    def program() -> tuple[list[torch.Tensor], torch.Tensor]:
        torch.manual_seed(3)
        weights = []
        for _ in range(2):
            model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3))
            train(model, torch.optim.Adam(model.parameters(), lr=1e-2), 45)
            weights += list(model.parameters())
        return weights, torch.get_rng_state()

    plain, state = program()
    backward, made = torch.autograd.backward, torch.optim.Optimizer.__init__
    runs: list[Run] = []
    with Monitor(on_next=runs.append):
        watched, watched_state = program()
    assert len(runs) == 1
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))
    assert torch.equal(state, watched_state)
    assert torch.autograd.backward is backward
    assert torch.optim.Optimizer.__init__ is made
    assert not torch_events._listeners


def test_a_receiver_that_fails_ends_no_training() -> None:
    def fails(_run: Run) -> None:
        raise OSError("no space left")

    torch.manual_seed(0)
    first, second = network(), network()
    with Monitor(on_next=fails) as watching:
        train(first, sgd(first), 40)
        train(second, sgd(second), 40)
    assert watching.run.events.steps == 40
    assert any("no space left" in finding.message for finding in watching.run.findings)
