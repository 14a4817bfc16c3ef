"""Parameters that get gradients and are in no optimizer: how much they are decides how bad that is."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import babysit
from babysit.monitor.monitor import Monitor
from babysit.records.finding import Finding

CLASSES, SIZE = 8, 24


class Net(nn.Module):
    """A stem, blocks kept in one way or another, a head, and a small extra that helps a little."""

    def __init__(self, holder: type = nn.ModuleList, *, extra: bool = False) -> None:
        super().__init__()
        self.stem = nn.Linear(SIZE, 32)
        self.blocks = holder(nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32)) for _ in range(2))
        self.head = nn.Linear(32, CLASSES)
        self.extra = nn.Linear(2, CLASSES) if extra else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.stem(x))
        for block in self.blocks:
            hidden = torch.relu(block(hidden))
        out: Tensor = self.head(hidden)
        return out if self.extra is None else out + self.extra(x[:, :2])


def trained(model: nn.Module, held: Iterable[nn.Parameter], *, steps: int = 120, attack: bool = False) -> babysit.Run:
    torch.manual_seed(0)
    centres = torch.randn(CLASSES, SIZE) * 0.6
    optimizer = torch.optim.Adam(held, lr=3e-3)
    with Monitor(model, optimizer) as watching:
        for _ in range(steps):
            labels = torch.randint(CLASSES, (64,))
            x = centres[labels] + torch.randn(64, SIZE)
            if attack:
                moved = torch.zeros_like(x, requires_grad=True)
                F.cross_entropy(model(x + moved), labels).backward()
                x = x + 0.01 * moved.grad.sign()
            optimizer.zero_grad()
            F.cross_entropy(model(x), labels).backward()
            optimizer.step()
    return watching.run


def forgotten(run: babysit.Run) -> Finding | None:
    return next((one for one in run.findings if one.code == "W703"), None)


def test_blocks_in_a_plain_list_are_an_alarm_even_if_the_rest_learns() -> None:
    torch.manual_seed(1)
    model = Net(holder=list)
    found = forgotten(trained(model, model.parameters()))
    assert found is not None
    assert found.severity in ("WARNING", "ERROR")
    assert "ModuleList" in found.recommendation
    assert found.evidence["layers"] == 2


def test_most_of_the_network_left_out_is_an_alarm() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(SIZE, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    found = forgotten(trained(model, model[2].parameters()))
    assert found is not None
    assert found.severity == "WARNING"
    assert found.evidence["share"] == pytest.approx(SIZE * 65 / (SIZE * 64 + 64 + 65 * CLASSES), abs=0.03)


def test_a_small_extra_part_left_out_is_a_remark() -> None:
    torch.manual_seed(1)
    model = Net(extra=True)
    run = trained(model, [one for name, one in model.named_parameters() if "extra" not in name])
    assert run.model_summary is not None
    assert set(run.model_summary.forgotten) == {"extra.weight", "extra.bias"}
    found = forgotten(run)
    assert found is not None
    assert found.severity == "INFO"


def test_what_is_frozen_is_meant_and_what_never_gets_a_gradient_is_not_forgotten() -> None:
    torch.manual_seed(1)
    model = Net()
    model.blocks.requires_grad_(False)
    run = trained(model, (one for one in model.parameters() if one.requires_grad))
    assert forgotten(run) is None


@pytest.mark.parametrize("attack", [False, True])
def test_a_disturbed_input_that_asks_for_gradients_is_no_forgotten_parameter(attack: bool) -> None:
    torch.manual_seed(1)
    model = Net()
    assert forgotten(trained(model, model.parameters(), attack=attack)) is None


def test_tensors_without_any_module_are_the_scripts_own_affair() -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(SIZE, CLASSES, requires_grad=True), torch.zeros(CLASSES, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    with Monitor(optimizer=optimizer) as watching:
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(torch.randn(32, SIZE) @ weight + bias, torch.randint(CLASSES, (32,))).backward()
            optimizer.step()
    found = forgotten(watching.run)
    assert found is None or found.severity != "ERROR" or "ModuleList" not in found.recommendation


def codes_of(model: nn.Module, held: Iterable[nn.Parameter], *, steps: int = 60) -> Finding:
    found = forgotten(trained(model, held, steps=steps))
    assert found is not None
    return found


def test_an_output_layer_in_no_optimizer_is_an_alarm_however_well_the_rest_adapts() -> None:
    torch.manual_seed(1)
    body = nn.Sequential(nn.Linear(SIZE, 64), nn.ReLU())
    found = codes_of(nn.Sequential(body, nn.Linear(64, CLASSES)), body.parameters(), steps=120)
    assert found.severity in ("WARNING", "ERROR")
    assert "gradients are computed but not used" in found.message


def test_a_layer_replaced_after_the_optimizer_was_made_is_an_alarm() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(SIZE, 64), nn.ReLU(), nn.Linear(64, 2 * CLASSES))
    held = list(model.parameters())
    model[2] = nn.Linear(64, CLASSES)
    assert codes_of(model, held, steps=120).severity in ("WARNING", "ERROR")


def test_a_whole_network_that_judges_the_output_of_another_is_fixed_on_purpose() -> None:
    torch.manual_seed(1)
    maker, judge = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(maker.parameters(), lr=0.01)
    with Monitor(optimizer=optimizer) as watching:
        for _ in range(60):
            optimizer.zero_grad()
            F.mse_loss(judge(maker(torch.randn(32, 4))), torch.ones(32, 1)).backward()
            optimizer.step()
    found = forgotten(watching.run)
    assert found is None or found.severity == "INFO"
