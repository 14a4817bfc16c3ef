"""Duplicate units: units of a layer that learn the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final

from torch import Tensor, autograd, nn

from babysit.data.samples import Samples
from babysit.experiments.optimizers import make_optimizer
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.metrics.parameters import unit_similarity
from babysit.nn.losses import loss_for
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.rules.initialization.symmetric_units import RULE as SYMMETRIC_UNITS

Loss = Callable[[Tensor, Tensor], Tensor]

SAMPLES: Final = 64
LEARNING_RATE: Final = 1e-3  # Adam's default; identical units get identical updates at any learning rate
STEPS = int(SYMMETRIC_UNITS.limits["steps"].value)
MAX_EQUAL = SYMMETRIC_UNITS.limits["share"].value
_TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ROWS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Bilinear, nn.RNNBase, nn.MultiheadAttention)


def symmetric_units(model: nn.Module, samples: Samples, *, loss: Loss | None = None, seed: int = 0) -> ExperimentResult:
    """Train a copy for five steps and find layers whose units are duplicates before and after.

    `equal` is the share of such units in the worst layer after the steps, `equal_before` before them. Units that are
    only initialized equal (a last layer or a branch of zeros) and then differ are fine.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    device = device_of(model)
    x, y = batch.x.to(device), batch.y.to(device)
    with replica(model, seed=seed) as (copy, _):
        before = equal_shares(copy)
        if before:
            optimizer = make_optimizer("adam", copy, lr=LEARNING_RATE)
            for _ in range(STEPS):
                optimizer.zero_grad()
                autograd.backward((loss or loss_for(samples.task))(copy(x), y))
                optimizer.step()
        after = equal_shares(copy)
    stuck = [name for name, share in after.items() if min(share, before[name]) >= MAX_EQUAL]
    return ExperimentResult(
        name="symmetric-units",
        outcome=Outcome.FAIL if stuck else Outcome.PASS,
        measured={
            "equal": max(after.values(), default=0.0),
            "equal_before": max(before.values(), default=0.0),
            "layers": float(len(stuck)),
            "steps": float(STEPS),
        },
        expected={"equal": 0.0},
        message=_message(stuck, before, after),
        seconds=perf_counter() - start,
    )


def equal_shares(model: nn.Module) -> dict[str, float]:
    """Map each trainable weight matrix or kernel to the share of its units that equal another one."""
    return {name: float(share) for name, share in _shares(model)}


def _shares(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, module in model.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.dim() < 2 or not weight.requires_grad or isinstance(module, nn.Embedding | nn.EmbeddingBag):
                continue
            bias = getattr(module, "bias", None) if name == "weight" else None
            full = f"{path}.{name}" if path else name
            bias_vector = bias if isinstance(bias, Tensor) else None
            if isinstance(module, _TRANSPOSED):
                yield full.removesuffix(".weight"), unit_similarity(weight, bias_vector, 1)
            elif isinstance(module, _ROWS):
                yield full.removesuffix(".weight"), unit_similarity(weight, bias_vector, 0)
            else:  # a custom matrix may hold its units in rows or in columns
                last = weight.dim() - 1
                yield full, unit_similarity(weight, None, 0).maximum(unit_similarity(weight, None, last))


def _message(stuck: list[str], before: dict[str, float], after: dict[str, float]) -> str:
    if stuck:
        named = ", ".join(stuck[:3]) + (f" and {len(stuck) - 3} more" if len(stuck) > 3 else "")
        return (
            f"duplicate units: after {STEPS} steps, {max(after[name] for name in stuck):.0%} of the units of {named} "
            "still equal another one, so the layer acts like one unit. Initialize its weights randomly; zeros are for "
            "biases"
        )
    diverged = [name for name, share in before.items() if share >= MAX_EQUAL]
    if diverged:
        return f"the units of {', '.join(diverged[:3])} are initialized equal but differ within {STEPS} steps: fine"
    return "no duplicate units"
