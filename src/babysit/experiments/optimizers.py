"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import nn
from torch.optim import Optimizer

from babysit.records.errors import UserError

# Momentum 0.9 as in the lecture's update rules; otherwise PyTorch's defaults.
OPTIMIZERS: Final[dict[str, Callable[..., Optimizer]]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
    "nesterov": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, nesterov=True, **options),
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


def make_optimizer(kind: str, model: nn.Module, *, lr: float, weight_decay: float = 0.0) -> Optimizer:
    """Create an optimizer over the trainable parameters; raise UserError for an unknown name or nothing to train."""
    maker = OPTIMIZERS.get(kind.lower())
    if maker is None:
        raise UserError(f"there is no optimizer {kind!r}", do=f"Use one of {', '.join(OPTIMIZERS)}")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UserError("the model has no trainable parameters", do="Set requires_grad=True where it should learn")
    return maker(parameters, lr=lr, weight_decay=weight_decay)
