"""Evaluation of a model without changing it."""

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
    """Mean loss, and name (accuracy, r2) and value of the task's score; higher is better."""

    loss: float
    name: str
    value: float


def evaluate(
    model: nn.Module, samples: Samples, *, batch_size: int = 512, network: Callable[[Tensor], Tensor] | None = None
) -> Scores:
    """Compute loss and score in eval mode: without dropout and with the running averages of BatchNorm.

    `network` is called in place of the model (the same model under another precision). The modes of all submodules
    are restored afterwards.
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
    # Over all outputs at once: r2 is not a mean over batches.
    name, value = score(samples.task, outputs, samples.y)
    return Scores(float(loss_for(samples.task)(outputs, samples.y)), name, value)
