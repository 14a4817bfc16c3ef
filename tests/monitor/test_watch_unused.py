"""Parts of a network that take no part in the loss, and those that only seem to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

INPUTS = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
NOISE = torch.randint(0, 3, (32,), generator=torch.Generator().manual_seed(2))


class Backbone(nn.Module):
    """Published models come with a head on top that not every task uses."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.pooler, self.head = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.pooled: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.body(x))
        self.pooled = torch.tanh(self.pooler(hidden))
        return self.head(hidden)


class Cut(Backbone):
    """The same parts in a row, and the features are taken out of the graph."""

    def __init__(self, take: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.take = take

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.take(torch.tanh(self.pooler(F.relu(self.body(x))))))


class Positions(nn.Module):
    """A trained token beside a larger table that is fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.table = nn.Parameter(torch.randn(1, 5, 8), requires_grad=False)
        self.inner, self.head = nn.Linear(2, 8), nn.Linear(40, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(len(x), -1, -1), self.inner(x.view(-1, 4, 2))], 1) + self.table
        return self.head(tokens.flatten(1))


class Scaled(nn.Module):
    """A norm, a scale and a shift written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.scale = Scale(8), Scale(8)
        self.place = Shift(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.scale(self.norm(self.place(x) * x.pow(2).mean(-1, keepdim=True).rsqrt())))


class Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


class Shift(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.where = nn.Parameter(torch.zeros(1, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.where


class Spare(Backbone):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.body(x)))


def watched(model: nn.Module) -> Run:
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with Monitor(model, optimizer) as watching:
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), NOISE).backward()
            optimizer.step()
    return watching.run


def severities(run: Run) -> dict[str, str]:
    return {finding.code: str(finding.severity) for finding in run.findings if finding.code in ("W708", "W709", "U603")}


def test_an_output_that_is_not_used_is_no_cut_graph() -> None:
    run = watched(Backbone())
    assert severities(run) == {"W709": "INFO"}
    assert "pooler ran, but their output was not used" in next(f.message for f in run.findings if f.code == "W709")


@pytest.mark.parametrize(
    "take",
    [
        lambda features: features.detach(),
        lambda features: features.data,
        lambda features: torch.from_numpy(features.detach().numpy()),
        lambda features: torch.tensor(features.tolist()),
    ],
    ids=["detach", "data", "numpy", "tolist"],
)
def test_features_that_are_taken_out_of_the_graph_are_a_cut(take: Callable[[Tensor], Tensor]) -> None:
    assert severities(watched(Cut(take)))["W708"] == "ERROR"


def test_a_frozen_tensor_does_not_speak_for_its_place() -> None:
    run = watched(Positions())
    assert severities(run) == {}
    assert run.model_summary is not None
    assert run.model_summary.layers[0].output_shape or run.model_summary.layers[1].output_shape


def test_a_module_that_never_runs_is_named() -> None:
    assert "W709" in severities(watched(Spare()))


def test_parameters_used_by_plain_operations_have_run() -> None:
    run = watched(Scaled())
    assert run.model_summary is not None
    ran = {layer.name: layer.fan_in for layer in run.model_summary.layers if layer.output_shape}
    assert ran == {"place": 0, "norm": 0, "scale": 0, "head": 8}
    assert [layer.name for layer in run.model_summary.layers] == ["place", "norm", "scale", "head"]


class Own(torch.autograd.Function):
    """A function that the trace does not see inside."""

    @staticmethod
    def forward(ctx: object, x: Tensor, factor: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy() * factor.detach().numpy())

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class TwoInputs(Backbone):
    def __init__(self, *, unseen: bool) -> None:
        super().__init__()
        self.unseen = unseen

    def forward(self, x: Tensor, factor: Tensor) -> Tensor:  # type: ignore[override]
        hidden = F.relu(self.body(x))
        return self.head(Own.apply(hidden, factor) if self.unseen else hidden)


@pytest.mark.parametrize("unseen", [True, False])
def test_an_input_is_ignored_only_where_all_was_followed(*, unseen: bool) -> None:
    model, factor = TwoInputs(unseen=unseen), torch.ones(32, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with Monitor(model, optimizer) as watching:
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS, factor), NOISE).backward()
            optimizer.step()
    assert ("W710" in [finding.code for finding in watching.run.findings]) is not unseen
