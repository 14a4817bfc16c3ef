"""Is the answer for one sample independent of the others in its batch?"""

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

SAMPLES: Final = 6  # every one is exchanged in turn
# The same kernel on the same shape gives the same bits for the rows that did not change; a wrong axis changes them by
# about as much as the exchanged sample's own answer. One part in ten thousand lies far from both.
TOLERANCE: Final = 1e-4
_BATCH_NORM = nn.modules.batchnorm._BatchNorm


def sample_isolation(model: nn.Module, samples: Samples, *, seed: int = 0) -> ExperimentResult:
    """Exchange one sample of a batch: the answers for the others must stay as they were, in eval and in train mode.

    BatchNorm mixes samples in train mode by design and is kept in eval mode; dropout draws the same units each time.
    `leak` is the largest change of another sample's answer, as a share of the exchanged sample's own.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=2 * SAMPLES, seed=seed)
    half = len(batch) // 2
    if half < 2:
        return ExperimentResult(
            name="sample-isolation", outcome=Outcome.SKIPPED, message="needs four samples at least to exchange some"
        )
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
    outcome, message = _judged(leaks, stateless=stateless)
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
    answer = model(x).flatten(1).double()
    size = float(answer.abs().max())
    for place in range(len(x)):
        changed = x.clone()
        changed[place] = others[place]
        seed_everything(seed)
        moved = (model(changed).flatten(1).double() - answer).abs().amax(1)
        own = float(moved[place])
        elsewhere = float(torch.cat([moved[:place], moved[place + 1 :]]).max())
        # A model that answers the same to everything has no change of its own to compare with.
        yield elsewhere / max(own, 1e-6 * size, 1e-30)


def _judged(leaks: dict[str, float], *, stateless: bool) -> tuple[Outcome, str]:
    mode, leak = max(leaks.items(), key=lambda item: item[1])
    if leak <= TOLERANCE:
        return Outcome.PASS, "exchanging a sample changes no other sample's answer"
    told = f"exchanging one sample changes the answers for others by {leak:.2g} of the change of its own ({mode} mode)"
    if stateless:
        return Outcome.WARN, (
            f"{told}: BatchNorm without running statistics takes those of the batch even in eval mode, so answers "
            "depend on what else is asked"
        )
    return Outcome.FAIL, (
        f"{told}: samples of a batch leak into each other. Move axes with permute or transpose, never with view, and "
        "reduce over dim=1 or later"
    )
