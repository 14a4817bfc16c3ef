"""Inputs of training and of evaluations, compared where both are fed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

Prepare = Callable[[Tensor], Tensor]


def batch(rows: int, seed: int) -> Tensor:
    return 50 + 20 * torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


class Base(nn.Module):
    """Standardizes its input by itself, so that the first layer is fed something else than the network."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 2)

    def answer(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.first((x - 50) / 20)))

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(x)


class Masked(Base):
    """Most samples are hidden from the first layer."""

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:  # type: ignore[override]
        return self.answer(50 + (x - 50) * keep)


class OfDict(Base):
    """Takes a dict, as collated samples are."""

    def forward(self, sample: dict[str, Any]) -> Tensor:  # type: ignore[override]
        return self.answer(sample["values"]) + 0 * sample["ids"][:, :1]


class OfObject(Base):
    """Takes an object, as batches of graphs are."""

    def forward(self, sample: Any) -> Tensor:
        return self.answer(sample.values) + 0 * sample.ids[:, :1]


class Embedded(nn.Module):
    """Looks ids up."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(200, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.last(self.table(ids).mean(1))


def watched(model: nn.Module, call: Callable[[Tensor], Tensor], prepare: Prepare = lambda x: x) -> Run:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer) as watching:
        for step in range(12):
            x = batch(32, step)
            optimizer.zero_grad()
            F.cross_entropy(call(x), (x[:, 0] > 50).long()).backward()
            optimizer.step()
            if step % 4 == 3:
                x = batch(64, 100 + step)
                with torch.no_grad():
                    F.cross_entropy(call(prepare(x)), (x[:, 0] > 50).long())
    assert watching.run.events.of("evaluation")
    return watching.run


def keep(x: Tensor) -> Tensor:
    return (x[:, 1:2] > 80).float()


MODELS: list[tuple[nn.Module, Callable[[nn.Module], Callable[[Tensor], Tensor]]]] = [
    (Base(), lambda model: model),
    (Base(), lambda model: lambda x: model(x=x)),
    (Masked(), lambda model: lambda x: model(x, keep(x))),
    (Masked(), lambda model: lambda x: model(keep=keep(x), x=x)),
    (OfDict(), lambda model: lambda x: model({"values": x, "ids": x.long()})),
    (OfObject(), lambda model: lambda x: model(SimpleNamespace(values=x, ids=x.long()))),
    (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 2)), lambda model: model),
]


@pytest.mark.parametrize(("model", "calling"), MODELS)
def test_what_forward_does_to_its_input_is_no_difference_between_splits(model: nn.Module, calling: Any) -> None:
    assert "D110" not in [finding.code for finding in watched(model, calling(model)).findings]


@pytest.mark.parametrize(("model", "calling"), MODELS)
def test_an_evaluation_that_is_fed_unscaled_inputs_is_seen_at_the_entrance(model: nn.Module, calling: Any) -> None:
    run = watched(model, calling(model), lambda x: (x - 50) / 20)
    assert "D110" in [finding.code for finding in run.findings]


def test_other_ids_are_no_other_scale() -> None:
    model = Embedded()
    run = watched(model, lambda ids: model(ids.long().clamp(0, 199)), lambda x: x / 10)
    assert run.data is None or run.data.arguments == ()
    assert "D110" not in [finding.code for finding in run.findings]


@pytest.mark.parametrize(("model", "calling"), MODELS)
def test_an_evaluation_of_training_rows_is_known_by_what_the_network_is_fed(model: nn.Module, calling: Any) -> None:
    call, x = calling(model), batch(64, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer) as watching:
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(call(x), (x[:, 0] > 50).long()).backward()
            optimizer.step()
        with torch.no_grad():
            (call(x).argmax(1) == (x[:, 0] > 50).long()).float().mean()
    assert "val/accuracy" not in watching.run.curves.series


def test_an_argument_that_differs_is_named_where_there_are_several() -> None:
    model = Masked()
    run = watched(model, lambda x: model(x, x[:, 1:2] / 20), lambda x: 3 * x)
    message = next(finding.message for finding in run.findings if finding.code == "D110")
    assert "(argument x)" in message or "(argument keep)" in message


def test_what_one_network_computes_for_another_is_no_data_that_was_prepared_otherwise() -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 6))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    train, other = batch(256, 0) / 70, batch(64, 1) / 70
    with Monitor() as w:
        for step in range(40):
            x = train[step % 8 * 32 :][:32]
            optimizer.zero_grad()
            F.mse_loss(decoder(100 * encoder(x)), x).backward()
            optimizer.step()
        with torch.no_grad():
            F.mse_loss(decoder(100 * encoder(other)), other)
    assert "D110" not in [finding.code for finding in w.findings]
