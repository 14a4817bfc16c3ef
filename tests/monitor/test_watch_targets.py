"""Targets that a network computes, and inputs that are the same for every sample."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import babysit
from babysit.monitor.monitor import Monitor

Compare = Callable[[Tensor, Tensor], Tensor]


def bootstrapped(compare: Compare, *, detach: bool, own: bool) -> babysit.Run:
    """Values learned from the network's own values of what comes next, or of a copy of it."""
    torch.manual_seed(0)
    model, copy = (nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)) for _ in range(2))
    copy.load_state_dict(model.state_dict())
    network = model if own else copy
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with Monitor(model, optimizer) as watching:
        for _ in range(80):
            state, following, reward = torch.randn(32, 4), torch.randn(32, 4), torch.randn(32)
            if detach:
                target = reward + 0.9 * network(following).amax(1).detach()
            else:
                with torch.no_grad():
                    target = reward + 0.9 * network(following).amax(1)
            loss = compare(model(state)[:, 0], target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return watching.run


@pytest.mark.parametrize("compare", [F.mse_loss, F.smooth_l1_loss, lambda one, other: ((one - other) ** 2).mean()])
@pytest.mark.parametrize(("detach", "own"), [(True, True), (False, True), (False, False)])
def test_a_target_that_a_network_computes_is_known_as_one(compare: Compare, detach: bool, own: bool) -> None:
    run = bootstrapped(compare, detach=detach, own=own)
    assert run.model_summary is not None
    assert [one.moving_target for one in run.model_summary.objectives] == [True]
    assert not {"F909", "F905"} & {one.code for one in run.findings if one.severity != "INFO"}


@pytest.mark.parametrize("compare", [F.mse_loss, lambda one, other: ((one - other) ** 2).mean()])
def test_a_target_that_is_read_as_data_is_none(compare: Compare) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with Monitor(model, optimizer) as watching:
        for _ in range(30):
            x = torch.randn(32, 4)
            loss = compare(model(x)[:, 0], x.sum(1) * 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert watching.run.model_summary is not None
    assert [one.moving_target for one in watching.run.model_summary.objectives] == [False]


@pytest.mark.parametrize("constant", [True, False])
def test_units_behind_a_constant_input_are_not_called_dead(constant: bool) -> None:
    torch.manual_seed(0)
    body, head = nn.Linear(6, 12), nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 5))
    with torch.no_grad():
        head[0].bias[:22] -= 100.0
    model = nn.ModuleList([body, head])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer) as watching:
        for _ in range(60):
            hidden = body(torch.randn(32, 6))
            hidden = hidden * 0 + 1.5 if constant else hidden
            loss = F.cross_entropy(head(hidden), torch.randint(5, (32,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    codes = {one.code for one in watching.run.findings}
    assert ("A401" in codes) is not constant
    if constant:
        assert "A406" in codes
        assert watching.run.layer_metrics.series("input_variation", "1.0")[0] == pytest.approx(0.0, abs=1e-6)
