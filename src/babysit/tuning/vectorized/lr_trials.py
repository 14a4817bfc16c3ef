"""Learning rate trials: trains a model at several learning rates, vectorized, and compares the losses."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import nn

from babysit.data.batches import shuffled
from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.records.trial import Value
from babysit.tuning.executors.base import TrainingTask, TrialConfig
from babysit.tuning.vectorized.executor import VectorizedExecutor


@final
class LRTrial(NamedTuple):
    """The losses at one learning rate."""

    lr: float
    costs: tuple[float, ...]  # per batch, before its update; shorter if it was stopped
    stopped: str  # why it was stopped (tuning/early_termination.py), or ""


def run_lr_trials(
    model: nn.Module,
    samples: Samples,
    *,
    lrs: Sequence[float],
    optimizer: str = "adam",
    batch_size: int = 64,
    steps: int = 100,
    seed: int = 0,
) -> list[LRTrial]:
    """Train copies of the model for some steps at each learning rate, on the same batches.

    The model is not changed. An LR range test raises the learning rate from step to step, so that each is tested on
    weights that earlier ones have changed; here each starts from the same weights.

    Raises:
        UserError: no learning rates, or one that is not a positive number.
    """
    wrong = [lr for lr in lrs if not 0 < lr < math.inf]
    if wrong or not lrs:
        raise UserError(
            f"the learning rates to try are {list(lrs)}", do="Give positive numbers, such as 1e-4 1e-3 1e-2"
        )
    indices = shuffled(len(samples), seed=seed, epoch=0)[: steps * batch_size]
    train = samples.take(indices)
    epochs = max(1, round(steps * min(batch_size, len(train)) / len(train)))

    def build(_: dict[str, Value]) -> nn.Module:
        return copy.deepcopy(model)

    workload = TrainingTask(
        build=build,
        train=train,
        validation=train.take(torch.arange(min(batch_size, len(train)))),
        optimizer=optimizer,
        batch_size=batch_size,
        device=str(next((parameter.device for parameter in model.parameters()), torch.device("cpu"))),
    )
    members = [TrialConfig(number=number, parameters={"lr": float(lr)}, seed=seed) for number, lr in enumerate(lrs)]
    executor = VectorizedExecutor(workload)
    try:
        found = {advance.number: advance for advance in executor.advance(members, epochs=epochs)}
    finally:
        executor.close()
    return [LRTrial(float(lr), found[number].costs, found[number].stopped) for number, lr in enumerate(lrs)]
