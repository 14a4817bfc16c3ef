"""Determinism: equal seeds give equal gradients, and eval mode gives equal predictions."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

import torch
from torch import Tensor, autograd, nn

from babysit.data.samples import Samples
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.nn.losses import loss_for
from babysit.records.experiment import ExperimentResult, Outcome

Loss = Callable[[Tensor, Tensor], Tensor]

SAMPLES: Final = 64


def determinism(model: nn.Module, samples: Samples, *, loss: Loss | None = None, seed: int = 0) -> ExperimentResult:
    """Compute gradients twice from the same seed, and predictions twice in eval mode.

    Both must agree bit for bit. `gradient` and `answer` are the largest differences relative to the largest value.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    device = device_of(model)
    x, y = batch.x.to(device), batch.y.to(device)
    measure = loss or loss_for(samples.task)
    first, second = (_gradients(model, x, y, measure, seed) for _ in range(2))
    with replica(model, seed=seed) as (copy, _), torch.no_grad():
        copy.eval()
        outputs = copy(x), copy(x)
    gradient, answer = _difference(first, second), _difference(*outputs)
    return ExperimentResult(
        name="determinism",
        outcome=Outcome.WARN if gradient or answer else Outcome.PASS,
        measured={"gradient": gradient, "answer": answer},
        expected={"gradient": 0.0, "answer": 0.0},
        message=_message(gradient, answer),
        seconds=perf_counter() - start,
    )


def _gradients(model: nn.Module, x: Tensor, y: Tensor, measure: Loss, seed: int) -> Tensor:
    with replica(model, seed=seed) as (copy, _):
        value = measure(copy(x), y)
        if value.requires_grad:
            autograd.backward(value)
        gradients = [parameter.grad.flatten() for parameter in copy.parameters() if parameter.grad is not None]
        return torch.cat([value.detach().reshape(1), *gradients]).double().cpu()


def _difference(one: Tensor, other: Tensor) -> float:
    if torch.equal(one, other) or (torch.isnan(one) & torch.isnan(other)).all():
        return 0.0
    size = float(one.detach().abs().max())
    return float((one.detach() - other.detach()).abs().max()) / size if size > 0 else 1.0


def _message(gradient: float, answer: float) -> str:
    if answer:
        return (
            f"not deterministic in eval mode: two predictions for the same batch differ by {answer:.2g} (relative). "
            "Unless this is intended, pass `training=self.training` to functional dropout"
        )
    if gradient:
        return (
            f"not deterministic: with the same seed, gradients differ by {gradient:.2g} (relative). The model uses its "
            "own random generator, or a kernel is non-deterministic (see torch.use_deterministic_algorithms)"
        )
    return "deterministic: with the same seed, gradients and predictions are bit-identical"
