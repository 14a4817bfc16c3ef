"""Evaluations in train mode: what ran in them and does otherwise in eval mode."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor

INPUTS = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
WANTED = INPUTS[:, :1].sign()


class Functional(nn.Module):
    """Dropout as a function that follows the mode."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.last, self.lr = nn.Linear(8, 8), lr

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.last(x), self.lr, training=self.training)


class Recurrent(nn.Module):
    """A recurrent module with dropout between its layers."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.read = nn.GRU(1, 8, num_layers=layers, dropout=0.4 if layers > 1 else 0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(x.unsqueeze(2))[0][:, -1]


class Spare(nn.Module):
    """Holds a dropout that it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x


class Tokens(nn.Module):
    """Attention over features as tokens."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(1, 1, 4, dropout=lr, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.unsqueeze(2)).squeeze(2)


def said(middle: nn.Module, *, resting: bool = False) -> str:
    """What is said of a training that evaluates without ever calling eval."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), middle, nn.ReLU(), nn.Linear(8, 1))
    if resting:
        middle.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with Monitor(model, optimizer) as watching:
        for step in range(12):
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS[:48]), WANTED[:48]).backward()
            optimizer.step()
            if step % 4 == 3:
                with torch.no_grad():
                    F.mse_loss(model(INPUTS[48:]), WANTED[48:])
    assert watching.run.events.of("evaluation")
    return next((finding.message for finding in watching.run.findings if finding.code == "W706"), "")


@pytest.mark.parametrize(
    "middle",
    [
        nn.Dropout(0.0),
        Functional(0.0),
        Tokens(0.0),
        nn.BatchNorm1d(8, track_running_stats=False),
        nn.RReLU(0.2, 0.2),
        Recurrent(1),
        Spare(),
        nn.LayerNorm(8),
    ],
    ids=lambda middle: type(middle).__name__,
)
def test_a_module_that_does_the_same_in_both_modes_is_no_issue(middle: nn.Module) -> None:
    assert said(middle) == ""


@pytest.mark.parametrize(
    ("middle", "named"),
    [
        (nn.Dropout(0.25), "Dropout (p=0.25)"),
        (Functional(0.3), "dropout (p=0.3)"),
        (Tokens(0.2), "Dropout (p=0.2)"),
        (Recurrent(2), "GRU (p=0.4)"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_random_modules_in_train_mode_are_named_with_their_lr(middle: nn.Module, named: str) -> None:
    message = said(middle)
    assert f"{named} made the outputs random" in message.replace("MultiheadAttention (p=0.2), ", "")
    assert "batch" not in message


def test_batch_norm_in_train_mode_is_named_without_a_word_of_dropout() -> None:
    message = said(nn.BatchNorm1d(8))
    assert "BatchNorm1d normalized with the statistics of the evaluated batch" in message
    assert "random" not in message


@pytest.mark.parametrize("middle", [nn.Dropout(0.5), nn.BatchNorm1d(8)], ids=lambda one: type(one).__name__)
def test_modules_that_rest_in_eval_mode_inside_a_model_in_train_mode_are_no_issue(middle: nn.Module) -> None:
    assert said(middle, resting=True) == ""


@pytest.mark.parametrize(("middle", "found"), [(nn.Dropout(0.5), True), (nn.Dropout(0.0), False)], ids=["half", "none"])
def test_training_in_eval_mode_is_an_issue_where_a_module_does_otherwise(middle: nn.Module, *, found: bool) -> None:
    model = nn.Sequential(nn.Linear(8, 8), middle, nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with Monitor(model, optimizer) as watching:
        model.eval()
        for _ in range(24):
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS), WANTED).backward()
            optimizer.step()
    assert ("W705" in [finding.code for finding in watching.run.findings]) is found
