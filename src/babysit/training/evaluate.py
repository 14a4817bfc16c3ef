"""How good a model is on samples, without changing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from babysit.data.batches import batches
from babysit.data.samples import Samples
from babysit.experiments.replica import device_of
from babysit.nn.losses import loss_for, score


@final
class Scores(NamedTuple):
    """Mean loss, and the score that suits the task: its name (accuracy, r2) and its value, higher is better."""

    loss: float
    name: str
    value: float


def evaluate(
    model: nn.Module, samples: Samples, *, batch_size: int = 512, network: Callable[[Tensor], Tensor] | None = None
) -> Scores:
    """Loss and score in eval mode, without dropout and with the running averages of BatchNorm.

    `network` is what is called when it is not the model itself (the same model under another precision). Modes of
    all submodules are as before afterwards.
    """
    modes = [(module, module.training) for module in model.modules()]
    call = network or model
    model.eval()
    try:
        with torch.no_grad():
            device = device_of(model)
            outputs = torch.cat(
                [call(x.to(device)).float().cpu() for x, _ in batches(samples, size=batch_size, shuffle=False)]
            )
    finally:
        for module, training in modes:
            module.training = training
    # Once over all outputs, not batch by batch: r2 is not a mean over batches.
    name, value = score(samples.task, outputs, samples.y)
    return Scores(float(loss_for(samples.task)(outputs, samples.y)), name, value)
