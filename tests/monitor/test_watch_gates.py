"""Sigmoids and softmaxes that weigh another result, and those that are a layer's activation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

INPUTS = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
WANTED = INPUTS[:, :1].sign()


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Linear(8, 4), nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.expand(F.relu(self.reduce(x))))
        return F.relu(x) * weights.view(-1, 8)


class Router(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choose, self.experts = nn.Linear(8, 3), nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        shares, order = self.choose(x).softmax(-1).topk(2)
        shares = shares / shares.sum(-1, keepdim=True)
        answers = torch.stack([F.relu(expert(x)) for expert in self.experts], 1)
        return x + (answers.gather(1, order.unsqueeze(2).expand(-1, -1, 8)) * shares.unsqueeze(2)).sum(1)


class Kernels(nn.Module):
    """A convolution whose kernel is a softmax of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Linear(8, 64)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel(x).view(-1, 8, 8).softmax(-1)
        return torch.bmm(kernel, F.relu(x).unsqueeze(2)).squeeze(2)


class Cell(nn.Module):
    """An LSTM cell written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 32)

    def forward(self, x: Tensor) -> Tensor:
        hidden, memory = torch.zeros_like(x), torch.zeros_like(x)
        for _ in range(2):
            enter, forget, give, value = self.inner(torch.cat([x, hidden], 1)).chunk(4, 1)
            memory = forget.sigmoid() * memory + enter.sigmoid() * value.tanh()
            hidden = give.sigmoid() * memory.tanh()
        return hidden


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x).tanh() * self.gate(x).sigmoid()


class Sloped(nn.Module):
    """A hidden sigmoid whose slope is used as well: h * (1 - h) is no gate."""

    slope: Tensor

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.sigmoid(x)
        self.slope = hidden * (1 - hidden)
        return hidden


def watched(middle: type[nn.Module]) -> Run:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), middle(), nn.Linear(8, 8), middle(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    with Monitor(model, optimizer) as watching:
        for _ in range(12):
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS), WANTED).backward()
            optimizer.step()
    return watching.run


@pytest.mark.parametrize("middle", [QuickGELU, Squeeze, Router, Kernels, Cell, Gated, nn.SiLU, nn.GLU])
def test_a_gate_is_no_hidden_activation(middle: type[nn.Module]) -> None:
    if middle is nn.GLU:
        middle = type("Halved", (nn.Sequential,), {"__init__": halved})
    assert "A405" not in [finding.code for finding in watched(middle).findings]


def halved(self: nn.Sequential) -> None:
    nn.Sequential.__init__(self, nn.Linear(8, 16), nn.GLU())


@pytest.mark.parametrize("middle", [nn.Sigmoid, nn.Softmax, Sloped])
def test_a_sigmoid_that_goes_on_alone_is_a_hidden_activation(middle: type[nn.Module]) -> None:
    run = watched(middle)
    assert "A405" in [finding.code for finding in run.findings]
    assert run.model_summary is not None
    assert run.model_summary.layers[0].activation in {"sigmoid", "softmax"}


def test_a_gated_layer_has_an_activation_all_the_same() -> None:
    run = watched(QuickGELU)
    assert run.model_summary is not None
    assert [layer.activation for layer in run.model_summary.layers] == ["gate", "gate", ""]
    assert "A404" not in [finding.code for finding in run.findings]
