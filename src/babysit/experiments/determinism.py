"""Does the same seed give the same numbers, and the same question the same answer?"""

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
    """Take the gradients of the same batch twice from the same seed, and ask the same question twice in eval mode.

    Both must agree to the bit. `gradient` and `answer` are the largest differences, as shares of the largest value.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    device = device_of(model)
    x, y = batch.x.to(device), batch.y.to(device)
    measure = loss or loss_for(samples.task)
    first, second = (_gradients(model, x, y, measure, seed) for _ in range(2))
    with replica(model, seed=seed) as (copy, _), torch.no_grad():
        copy.eval()
        answers = copy(x), copy(x)
    gradient, answer = _difference(first, second), _difference(*answers)
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
            f"asked twice in eval mode, the answer changes by {answer:.2g}: if that is not meant, give functional "
            "dropout `training=self.training`"
        )
    if gradient:
        return (
            f"the same seed gives gradients that differ by {gradient:.2g}: it draws from a generator of its own, "
            "or the device adds in another order each time (torch.use_deterministic_algorithms(True) forbids that)"
        )
    return "the same seed gives the same numbers, to the bit"
