"""The optimizer of one member, from its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from babysit.records.problem import UserError
from babysit.records.trial import Value
from babysit.tuning.executor import Workload

OPTIMIZERS: Final = ("adam", "adamw", "sgd", "rmsprop")
# What the trainer itself reads; every other name must be used by the function that builds the model.
UNDERSTOOD: Final = frozenset({"rate", "weight_decay", "momentum", "optimizer", "batch_size"})


def make_optimizer(model: nn.Module, parameters: Mapping[str, Value], workload: Workload) -> torch.optim.Optimizer:
    """An optimizer for the model's trainable parameters; what the space leaves open comes from the workload.

    Raises:
        UserError: the optimizer is not known, or the model has nothing to train.
    """
    name = str(parameters.get("optimizer", workload.optimizer)).lower()
    rate = float(parameters.get("rate", workload.rate))
    decay = float(parameters.get("weight_decay", workload.weight_decay))
    momentum = float(parameters.get("momentum", 0.9))  # the usual one, and the lecture's
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        raise UserError("the model has no parameters to train", do="Give it layers, or unfreeze some")
    match name:
        case "adam":
            return torch.optim.Adam(weights, lr=rate, weight_decay=decay, betas=(momentum, 0.999))
        case "adamw":
            return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, betas=(momentum, 0.999))
        case "sgd":
            return torch.optim.SGD(weights, lr=rate, weight_decay=decay, momentum=momentum)
        case "rmsprop":
            return torch.optim.RMSprop(weights, lr=rate, weight_decay=decay)
    raise UserError(f"there is no optimizer {name!r}", do=f"Use one of {', '.join(OPTIMIZERS)}")
