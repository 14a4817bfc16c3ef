"""What is forgotten around a network that is itself sound."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

INPUTS = torch.linspace(-1, 1, 256).view(64, 4).sin()
WANTED = (3 * INPUTS[:, :1]).sin() * INPUTS[:, 1:2].sign()


def codes(run: Run) -> set[str]:
    return {finding.code for finding in run.problems}


class Net(nn.Module):
    def __init__(self, *, mode: bool = True) -> None:
        super().__init__()
        self.first, self.last, self.mode = nn.Linear(4, 32), nn.Linear(32, 1), mode

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.first(x).relu(), 0.2, training=self.training or not self.mode)
        return self.last(x)


def trained(model: nn.Module, *, steps: int = 400, every: int = 50) -> Run:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with Monitor(model, optimizer) as watching:
        for step in range(steps):
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS), WANTED).backward()
            optimizer.step()
            if step % every == 0:
                model.eval()
                with torch.no_grad():
                    F.mse_loss(model(INPUTS.flip(1)), WANTED)
                model.train()
    return watching.run


def test_dropout_that_does_not_follow_the_mode_is_seen_in_evaluations() -> None:
    original = F.dropout
    assert "W706" in codes(trained(Net(mode=False)))
    assert "W706" not in codes(trained(Net()))
    assert F.dropout is original


class Plain(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Linear(4, 32), nn.Linear(32, 1), how

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.how == "kept":
            x = F.relu(x)
        else:  # what it returns is not used; in place that does no harm
            F.relu(x, inplace=self.how == "in place")
        return self.last(x)


@pytest.mark.parametrize(("how", "said"), [("kept", False), ("in place", False), ("lost", True)])
def test_an_activation_whose_result_is_not_used_is_none(how: str, said: bool) -> None:
    run = trained(Plain(how))
    assert run.model_summary is not None
    assert [layer.activation for layer in run.model_summary.layers] == ["" if said else "relu", ""]
    assert ("A404" in codes(run)) == said


@pytest.mark.parametrize("cleared", [True, False])
def test_one_of_two_optimizers_that_nobody_clears_is_named(cleared: bool) -> None:
    torch.manual_seed(0)
    body, head = nn.Linear(4, 32), nn.Linear(32, 1)
    first, second = (torch.optim.SGD(part.parameters(), lr=1e-2) for part in (body, head))
    with Monitor() as watching:
        for _ in range(100):
            first.zero_grad()
            if cleared:
                second.zero_grad()
            F.mse_loss(head(body(INPUTS).relu()), WANTED).backward()
            first.step()
            second.step()
    found = [finding for finding in watching.run.findings if finding.code == "W701"]
    assert bool(found) != cleared
    assert cleared or "number 2" in found[0].message


def test_truth_values_that_choose_pairs_are_no_labels() -> None:
    torch.manual_seed(0)
    model, labels = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4)), torch.arange(64) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with Monitor(model, optimizer) as watching:
        for _ in range(100):
            places = model(INPUTS)
            apart = (places[:, None] - places[None]).pow(2).sum(2).add(1e-8).sqrt()
            same = labels[:, None] == labels[None]
            farthest, nearest = (apart * same).max(1).values, (apart + 1e3 * same).min(1).values
            loss = torch.relu(farthest - nearest + 1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert "O204" not in codes(watching.run)
