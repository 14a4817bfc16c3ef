"""Which learning rates make the loss go down: each tried by itself, all side by side."""

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
    """What a learning rate made of the model."""

    lr: float
    costs: tuple[float, ...]  # of every batch, before its update; shorter when it died
    stopped: str  # why it ended early (tuning/early_termination.py), or ""


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
    """Trains a copy of the model for some steps at each learning rate, on the same batches; the model is left as it
    was.

    A sweep that raises the learning rate from step to step tests each learning rate on weights that the learning rates
    before have moved; here each begins where the model is.

    Raises:
        UserError: no learning rates, or a learning rate that is not a positive number.
    """
    wrong = [lr for lr in lrs if not 0 < lr < math.inf]
    if wrong or not lrs:
        raise UserError(
            f"the learning rates to try are {list(lrs)}", do="Give positive numbers, such as 1e-4 1e-3 1e-2"
        )
    places = shuffled(len(samples), seed=seed, epoch=0)[: steps * batch_size]
    train = samples.take(places)
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
    members = [TrialConfig(number=place, parameters={"lr": float(lr)}, seed=seed) for place, lr in enumerate(lrs)]
    population = VectorizedExecutor(workload)
    try:
        found = {advance.number: advance for advance in population.advance(members, epochs=epochs)}
    finally:
        population.close()
    return [LRTrial(float(lr), found[place].costs, found[place].stopped) for place, lr in enumerate(lrs)]
