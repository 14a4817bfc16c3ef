"""Whole trainings and what is said of them: nothing of the healthy ones, one cause of the sick ones."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

_path = Path(__file__).with_name("trainings.py")
_spec = importlib.util.spec_from_file_location("watched_trainings", _path)
trainings = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = trainings
_spec.loader.exec_module(trainings)


def judged(train: Callable[[], object], seed: int = 0) -> tuple[Run, object]:
    torch.manual_seed(seed)
    with Monitor() as looking:
        outcome = train()
    return looking.run, outcome


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("train", trainings.HEALTHY, ids=lambda train: train.__name__)
def test_a_healthy_training_raises_no_alarm(train: Callable[[], tuple[float, float]], seed: int) -> None:
    run, (reached, least) = judged(train, seed)
    assert reached >= least  # else it is no healthy training, and silence proves nothing
    assert run.events.steps >= 100
    assert [(alarm.code, alarm.message) for alarm in run.problems] == []


def train_digits(model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int = 6) -> None:
    x, y, *_ = trainings.digits()
    for rows in trainings.epochs(epochs):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


def deep(depth: int, width: int, activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(64, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def causes(run: Run) -> list[str]:
    return [alarm.code for alarm in run.problems if alarm.explained_by is None]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_eight_layers_of_sigmoids_have_exactly_one_cause(seed: int) -> None:
    def train() -> None:
        model = deep(8, 64, nn.Sigmoid)
        train_digits(model, torch.optim.SGD(model.parameters(), lr=0.1))

    run, _ = judged(train, seed)
    assert causes(run) == ["A405"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_twenty_layers_of_tiny_weights_shrink_the_signal_first_of_all(seed: int) -> None:
    def train() -> None:
        model = deep(20, 64, nn.ReLU)
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)
        train_digits(model, torch.optim.SGD(model.parameters(), lr=0.05))

    run, _ = judged(train, seed)
    assert causes(run)[0] == "I302"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_lr_of_twenty_is_named_with_the_step_at_which_it_blew_up(seed: int) -> None:
    def train() -> None:
        model = deep(2, 64, nn.ReLU)
        train_digits(model, torch.optim.SGD(model.parameters(), lr=20.0))

    run, _ = judged(train, seed)
    first = run.root_cause
    assert first is not None
    assert first.code == "U601"
    assert first.first_step is not None
    assert 0 <= first.first_step <= 20
    assert f"step {first.first_step}" in first.message


@pytest.mark.slow
@pytest.mark.parametrize(("lr", "cause"), [(1e6, "U601"), (1e-2, "D101")])
def test_raw_bytes_are_the_cause_unless_the_lr_is_too_high_for_any_input(lr: float, cause: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = 255 * torch.rand(512, 192, generator=generator), torch.randint(0, 10, (512,), generator=generator)

    def train() -> None:
        model = nn.Sequential(nn.Linear(192, 50), nn.ReLU(), nn.Linear(50, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        for rows in trainings.epochs(10, 64, rows=512):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()

    run, _ = judged(train)
    assert causes(run)[0] == cause


@pytest.mark.slow
@pytest.mark.parametrize("row", [1000, 5000])
def test_a_single_row_with_a_missing_value_is_found_when_its_batch_comes_again(row: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6400, 20, generator=generator)
    y = (x[:, 0] > 0).long()
    x[row, 7] = torch.nan
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer) as looking:
        for _ in range(3):
            for rows in torch.arange(6400).split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
    assert looking.run.problems[0].code == "D103"
