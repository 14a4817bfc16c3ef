"""Per-sample independence: a prediction does not depend on the other samples of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Final

import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.isolation import seed_everything
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.records.experiment import ExperimentResult, Outcome

SAMPLES: Final = 6  # each is exchanged in turn
# The same kernel on the same shape gives identical bits for the unchanged rows; a wrong axis changes them by about as
# much as the prediction of the exchanged sample. One part in ten thousand is far from both.
TOLERANCE: Final = 1e-4
_BATCH_NORM = nn.modules.batchnorm._BatchNorm


def sample_isolation(model: nn.Module, samples: Samples, *, seed: int = 0) -> ExperimentResult:
    """Exchange one sample of a batch and check that the other predictions do not change, in eval and train mode.

    BatchNorm mixes samples in train mode by design and stays in eval mode; dropout uses the same mask each time.
    `leak` is the largest change of another sample's prediction relative to that of the exchanged sample.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=2 * SAMPLES, seed=seed)
    half = len(batch) // 2
    if half < 2:
        return ExperimentResult(name="sample-isolation", outcome=Outcome.SKIPPED, message="needs at least four samples")
    device = device_of(model)
    x, others = batch.x[:half].to(device), batch.x[half : 2 * half].to(device)
    leaks = {}
    with replica(model, seed=seed) as (copy, _), torch.no_grad():
        for mode in ("eval", "train"):
            copy.train(mode == "train")
            for module in copy.modules():
                if isinstance(module, _BATCH_NORM):
                    module.eval()
            leaks[mode] = max(_leaks(copy, x, others, seed))
        stateless = any(isinstance(m, _BATCH_NORM) and m.running_mean is None for m in copy.modules())
    outcome, message = _evaluate(leaks, stateless=stateless)
    return ExperimentResult(
        name="sample-isolation",
        outcome=outcome,
        measured={"leak": max(leaks.values()), "leak_eval": leaks["eval"], "leak_train": leaks["train"]},
        expected={"leak": 0.0},
        message=message,
        seconds=perf_counter() - start,
    )


def _leaks(model: nn.Module, x: Tensor, others: Tensor, seed: int) -> Iterator[float]:
    seed_everything(seed)
    reference = model(x).flatten(1).double()
    size = float(reference.abs().max())
    for index in range(len(x)):
        changed = x.clone()
        changed[index] = others[index]
        seed_everything(seed)
        moved = (model(changed).flatten(1).double() - reference).abs().amax(1)
        own = float(moved[index])
        elsewhere = float(torch.cat([moved[:index], moved[index + 1 :]]).max())
        # A constant output has no change to compare with.
        yield elsewhere / max(own, 1e-6 * size, 1e-30)


def _evaluate(leaks: dict[str, float], *, stateless: bool) -> tuple[Outcome, str]:
    mode, leak = max(leaks.items(), key=lambda item: item[1])
    if leak <= TOLERANCE:
        return Outcome.PASS, "per-sample independence: exchanging a sample changes no other prediction"
    text = f"exchanging one sample changes the other predictions by {leak:.2g} of its own change ({mode} mode)"
    if stateless:
        return Outcome.WARN, (
            f"{text}: BatchNorm without running statistics uses batch statistics even in eval mode, so predictions "
            "depend on the rest of the batch"
        )
    return Outcome.FAIL, (
        f"{text}: samples of a batch leak into each other. Move axes with permute or transpose, never with view, and "
        "reduce over dim=1 or later"
    )
