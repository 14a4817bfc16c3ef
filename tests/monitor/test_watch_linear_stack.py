"""Whether what lies between two layers is known to be linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.finding import Finding

INPUTS = torch.randn(64, 6, generator=torch.Generator().manual_seed(1))
WANTED = (INPUTS[:, :1] * INPUTS[:, 1:2]).sign()


class OwnReLU(torch.autograd.Function):
    """A ReLU as a kernel would be wrapped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (ctx.saved_tensors[0] > 0)


class CopiedReLU(OwnReLU):
    """A ReLU that works in the memory of a copy, as compiled kernels do: no operation of torch is left to be seen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        result = x.clone()
        values = result.numpy()
        values[values < 0] = 0
        return result


class StraightThrough(torch.autograd.Function):
    """The sign, with the gradient passed on as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class InPlaceReLU(OwnReLU):
    """A ReLU that changes its input and says so."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        values = x.numpy()
        values[values < 0] = 0
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x


def registered(x: Tensor) -> Tensor:
    """A ReLU that goes by a name of the dispatcher."""
    return torch.ops.aten.relu.default(x)


def masked(x: Tensor) -> Tensor:
    """A ReLU written as an assignment in place."""
    x[x < 0] = 0
    return x


class Net(nn.Module):
    """Three layers and what is done between them."""

    def __init__(self, first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 1)
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.second(self.b(self.first(self.a(x)))))


def linear(model: nn.Module, *, steps: int = 60) -> Finding | None:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS), WANTED).backward()
            optimizer.step()
    return next((finding for finding in watching.run.findings if finding.code == "A404"), None)


@pytest.mark.parametrize(
    "activation",
    [OwnReLU.apply, CopiedReLU.apply, StraightThrough.apply, InPlaceReLU.apply, registered, masked, torch.abs],
)
def test_an_activation_that_no_function_mode_sees_makes_no_network_linear(activation: Callable[..., Tensor]) -> None:
    assert linear(Net(activation, activation)) is None


def test_a_network_without_activations_is_said_to_be_linear() -> None:
    found = linear(Net(nn.Identity(), nn.Dropout(0.1)))
    assert found is not None
    assert str(found.severity) == "WARNING"
    assert "The network is linear" in found.message


def test_layers_on_both_sides_of_an_activation_are_two_stacks() -> None:
    sides = [nn.Linear(6, 16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8), nn.Linear(8, 1)]
    found = linear(nn.Sequential(*sides))
    assert found is not None
    assert "0 and 1; 3 and 4" in found.message
    assert found.layers == ("0", "1", "3", "4")
    assert "network is linear" not in found.message


def test_one_stack_beside_an_unseen_activation_is_named_alone() -> None:
    found = linear(Net(nn.Identity(), OwnReLU.apply))
    assert found is not None
    assert found.layers == ("a", "b")


class Joined(nn.Module):
    """What a layer gives goes on beside what a ReLU makes of another one's."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.bent, self.last = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.plain(x), self.bent(x).relu()], dim=1))


def test_joined_branches_are_not_the_output_of_one_of_them() -> None:
    assert linear(Joined()) is None
