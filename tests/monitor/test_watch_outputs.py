"""Validation is read whatever a model returns, wherever its loss is computed."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.monitor.nested_tensors import tensors_in
from babysit.records.curves import VAL_ACCURACY, VAL_LOSS
from babysit.records.run import Run

GENERATOR = torch.Generator().manual_seed(0)
INPUTS, OTHERS = torch.randn(96, 6, generator=GENERATOR), torch.randn(70, 6, generator=GENERATOR)
LABELS, OTHER_LABELS = INPUTS[:, :3].argmax(1), OTHERS[:, :3].argmax(1)
Named = namedtuple("Named", "loss logits")


@dataclass
class Data:
    loss: Tensor | None
    logits: Tensor


class Slotted:
    __slots__ = ("logits", "loss")

    def __init__(self, loss: Tensor | None, logits: Tensor) -> None:
        self.loss, self.logits = loss, logits


WRAPPINGS: dict[str, Any] = {
    "dict": lambda loss, out: {"loss": loss, "logits": out},
    "ordered": lambda loss, out: OrderedDict(loss=loss, logits=out),
    "dataclass": Data,
    "namedtuple": Named,
    "slots": Slotted,
    "attributes": lambda loss, out: SimpleNamespace(loss=loss, logits=out),
    "nested": lambda loss, out: {"loss": loss, "inner": ({"logits": out},)},
}


def part(output: Any, name: str) -> Tensor:
    if name == "logits" and isinstance(output, dict) and "inner" in output:
        return output["inner"][0]["logits"]
    return output[name] if isinstance(output, dict) else getattr(output, name)


class Wrapped(nn.Module):
    """Returns its logits, and its loss when it is given labels, in some wrapping."""

    def __init__(self, wrapping: str, body: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body or nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        self.wrapping = wrapping

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        out = self.body(x)
        return WRAPPINGS[self.wrapping](None if labels is None else F.cross_entropy(out, labels), out)


def trained(model: nn.Module, loss_of: Any, evaluate: Any) -> tuple[Run, list[float]]:
    """The run, and the means that the loop itself found in each of its evaluations."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    own = []
    with Monitor(model, optimizer) as watching:
        for _ in range(4):
            for rows in torch.arange(96).split(16):
                optimizer.zero_grad()
                loss_of(INPUTS[rows], LABELS[rows]).backward()
                optimizer.step()
            model.eval()
            pairs = [(evaluate(OTHERS[rows], OTHER_LABELS[rows]), len(rows)) for rows in torch.arange(70).split(30)]
            model.train()
            own.append(sum(value * count for value, count in pairs) / 70)
    return watching.run, own


def gaps(run: Run) -> list[str]:
    return [finding.message for finding in run.findings if finding.code == "T001"]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_validation_is_read_from_outputs_in_any_wrapping(wrapping: str) -> None:
    model = Wrapped(wrapping)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(part(model(x), "logits"), y)

    def evaluate(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            out = part(model(x), "logits")
            (out.argmax(1) == y).float().mean()
            return F.cross_entropy(out, y).item()

    run, own = trained(model, loss_of, evaluate)
    np.testing.assert_allclose(run.curves.get(VAL_LOSS).values, own, rtol=1e-6)
    assert len(run.curves.get(VAL_ACCURACY)) == 4
    assert gaps(run) == []


@pytest.mark.parametrize("keywords", [False, True])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_loss_that_the_model_computes_itself_is_read_in_evaluations(wrapping: str, keywords: bool) -> None:
    model = Wrapped(wrapping)

    def call(x: Tensor, y: Tensor) -> Tensor:
        return part(model(x=x, labels=y) if keywords else model(x, y), "loss")

    def evaluate(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            loss = call(x, y)
        return loss.item()

    run, own = trained(model, call, evaluate)
    np.testing.assert_allclose(run.curves.get(VAL_LOSS).values, own, rtol=1e-6)
    assert gaps(run) == []


def test_what_is_computed_after_the_block_belongs_to_the_evaluation_until_training_goes_on() -> None:
    model = Wrapped("dict")

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x)["logits"], y)

    def evaluate(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            out = model(x)["logits"]
        (out.argmax(1) == y).float().mean()
        return nn.CrossEntropyLoss()(out.detach(), y).item()

    run, own = trained(model, loss_of, evaluate)
    np.testing.assert_allclose(run.curves.get(VAL_LOSS).values, own, rtol=1e-6)
    assert len(run.curves.get(VAL_ACCURACY)) == 4
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_predictions_of_several_blocks_may_be_joined_before_the_loss() -> None:
    model, outputs = nn.Linear(6, 3), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    own = []
    with Monitor(model, optimizer) as watching:
        for _ in range(3):
            for _ in range(8):
                optimizer.zero_grad()
                F.cross_entropy(model(INPUTS), LABELS).backward()
                optimizer.step()
            outputs.clear()
            for rows in torch.arange(70).split(30):
                with torch.no_grad():
                    outputs.append(model(OTHERS[rows]))
            own.append(F.cross_entropy(torch.cat(outputs), OTHER_LABELS).item())
    np.testing.assert_allclose(watching.run.curves.get(VAL_LOSS).values, own, rtol=1e-6)


def test_following_a_model_inside_leaves_its_fused_path_alone() -> None:
    def outcome(watched: bool) -> list[Tensor]:
        torch.manual_seed(0)
        body = nn.Sequential(
            nn.Linear(6, 16),
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True),
            nn.Linear(16, 3),
        )
        model = Wrapped("dict", body)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        seen = []
        with Monitor(model, optimizer) as watching:
            if not watched:
                watching.pause()
            for _ in range(12):
                optimizer.zero_grad()
                model(INPUTS, LABELS)["loss"].backward()
                optimizer.step()
                model.eval()
                with torch.no_grad():
                    seen.append(model(OTHERS, OTHER_LABELS)["loss"])
                model.train()
        assert (len(watching.run.curves.get(VAL_LOSS)) > 0) == watched
        return seen

    assert all(torch.equal(one, other) for one, other in zip(outcome(True), outcome(False), strict=True))


@pytest.mark.parametrize("training", ["mean", "sum", "sum of items", "half"])
@pytest.mark.parametrize("validation", ["mean", "sum", "none"])
def test_validation_has_the_scale_of_the_training_curve(training: str, validation: str) -> None:
    model = nn.Linear(6, 3)
    scale = {"mean": 1.0, "sum": 16.0, "sum of items": 1.0, "half": 0.5}[training]

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        if training == "sum":
            return F.cross_entropy(model(x), y, reduction="sum")
        if training == "sum of items":
            return F.cross_entropy(model(x), y, reduction="sum") / len(y)
        return F.cross_entropy(model(x), y) * (0.5 if training == "half" else 1.0)

    def evaluate(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            out = model(x)
            loss = F.cross_entropy(out, y, reduction=validation)
        return (loss / len(y) if validation == "sum" else loss.mean()).item()

    run, own = trained(model, loss_of, evaluate)
    assert run.model_summary is not None
    assert run.model_summary.objectives[0].scale == pytest.approx(scale, rel=1e-4)
    np.testing.assert_allclose(run.curves.get(VAL_LOSS).values, np.multiply(own, scale), rtol=1e-4)


def test_passes_that_gave_neither_loss_nor_accuracy_are_reported() -> None:
    model = nn.Linear(6, 3)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x), y)

    def evaluate(x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            out = model(x).numpy()
        return float((out.argmax(1) == y.numpy()).mean())

    run, _ = trained(model, loss_of, evaluate)
    assert ["4 passes of the network without gradients" in line for line in gaps(run)] == [True]


def test_a_network_without_gradient_in_every_step_is_no_unread_evaluation() -> None:
    model, teacher = nn.Linear(6, 3), nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        for _ in range(40):
            with torch.no_grad():
                wanted = teacher(INPUTS)
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS), wanted).backward()
            optimizer.step()
    assert gaps(watching.run) == []
    assert not len(watching.run.curves.get(VAL_LOSS))


def unread_validations(model: nn.Module, evaluate: Any) -> int:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        for number in range(40):
            rows = torch.randint(len(INPUTS), (16,))
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS[rows]), INPUTS[rows]).backward()
            optimizer.step()
            if number % 10 == 9:
                model.eval()
                with torch.no_grad():
                    evaluate()
                model.train()
    return len(watching.run.events.of("unread_validation"))


def generated_step_by_step(model: nn.Module) -> None:
    x = torch.randn(16, 6)
    for _ in range(20):
        x = x + 0.1 * model(x)


PASSES: dict[str, tuple[int, Any]] = {
    "all at once": (4, lambda model: model(OTHERS)),
    "in batches": (4, lambda model: [model(OTHERS[rows]) for rows in torch.arange(70).split(16)]),
    "a few samples": (0, lambda model: model(torch.randn(16, 6))),
    "one by one": (0, lambda model: [model(row[None]) for row in OTHERS]),
    "generated step by step": (0, generated_step_by_step),
    "training data": (0, lambda model: model(INPUTS)),
    "in train mode": (0, lambda model: model.train()(OTHERS)),
    "another network": (0, lambda _model: nn.Sequential(nn.Linear(6, 6)).eval()(OTHERS)),
}


@pytest.mark.parametrize("name", PASSES)
def test_only_passes_over_much_other_data_are_taken_for_a_validation(name: str) -> None:
    expected, evaluate = PASSES[name]
    model = nn.Sequential(nn.Linear(6, 6))
    assert unread_validations(model, lambda: evaluate(model)) == expected


def test_a_property_of_an_output_is_not_run_and_large_containers_end_the_search() -> None:
    class Output:
        def __init__(self) -> None:
            self.logits = torch.ones(2)

        @property
        def expensive(self) -> Tensor:
            raise AssertionError

    assert len(tensors_in(Output())) == 1
    assert tensors_in({"much": list(range(10**6)), "scores": [torch.ones(1)]}) == []
    assert tensors_in(nn.Linear(2, 2)) == []
