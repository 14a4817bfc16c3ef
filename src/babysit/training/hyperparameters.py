"""Hyperparameters of the training loop as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, final

import torch
from torch import nn
from torch.optim import Optimizer

from babysit.experiments.optimizers import OPTIMIZERS, make_optimizer
from babysit.records.errors import UserError
from babysit.records.trial import Value

# PyTorch's defaults, except for momentum, which is the lecture's (as in experiments/optimizers.py).
_MOMENTUM: Final = {"momentum": 0.9, "nesterov": 0.9}
_BETA1: Final = 0.9
_BETA2: Final = {"rmsprop": 0.99}  # named alpha there
_ANY_BETA2: Final = 0.999
_WITH_MOMENTUM: Final = frozenset({"sgd", "momentum", "nesterov", "rmsprop"})


class Configuration(Protocol):
    """Hyperparameters by name, and the number of epochs."""

    @property
    def parameters(self) -> Mapping[str, Value]:
        """Values by name."""

    @property
    def epochs(self) -> int:
        """Planned epochs; 0 if not known."""


class Defaults(Protocol):
    """Values of the hyperparameters that a configuration leaves out."""

    @property
    def optimizer(self) -> str:
        """Name of the optimizer."""

    @property
    def batch_size(self) -> int:
        """Samples per step."""

    @property
    def lr(self) -> float:
        """Learning rate."""

    @property
    def weight_decay(self) -> float:
        """Weight decay."""


@final
@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Hyperparameters of one configuration; those that the optimizer does not have are ignored."""

    optimizer: str
    batch_size: int
    lr: float
    weight_decay: float
    momentum: float | None  # None: no momentum and no buffer for it
    beta1: float  # of the gradient (Adam)
    beta2: float  # of the squared gradient (Adam, RMSprop)
    lr_decay: float  # factor of the learning rate after every epoch
    warmup_steps: int  # steps of a linear warm-up of the learning rate from near zero
    grad_clip_norm: float  # maximum total norm of the gradients; infinite for no clipping
    init_scale: float  # factor of the initial weights (not biases or scales)

    def lr_at(self, step: int, epoch: int) -> float:
        """Return the learning rate of a step; step and epoch count from 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.lr * float(self.lr_decay**epoch) * warm


def hyperparameters_of(configuration: Configuration, defaults: Defaults) -> Hyperparameters:
    """Resolve a configuration to numbers; missing values come from `defaults`.

    Raises:
        UserError: an invalid number or an unknown optimizer.
    """
    given = configuration.parameters
    kind = str(given.get("optimizer", defaults.optimizer)).lower()
    if kind not in OPTIMIZERS:
        raise UserError(f"there is no optimizer {kind!r}", do=f"Use one of {', '.join(OPTIMIZERS)}")
    momentum = given.get("momentum", _MOMENTUM.get(kind)) if kind in _WITH_MOMENTUM else None
    if kind == "nesterov" and momentum == 0:
        raise UserError("nesterov needs a momentum above 0", do="Search from 0.1, or use sgd")
    return Hyperparameters(
        optimizer=kind,
        batch_size=int(_number(given, "batch_size", defaults.batch_size, low=1)),
        lr=_number(given, "lr", defaults.lr),
        weight_decay=_number(given, "weight_decay", defaults.weight_decay),
        momentum=None if momentum is None else _number({"momentum": momentum}, "momentum", 0.0, below=1.0),
        beta1=_number(given, "beta1", _BETA1, below=1.0),
        beta2=_number(given, "beta2", _BETA2.get(kind, _ANY_BETA2), below=1.0),
        lr_decay=_number(given, "lr_decay", 1.0) * _decay_to_end(configuration),
        warmup_steps=int(_number(given, "warmup_steps", 0)),
        grad_clip_norm=_number(given, "grad_clip_norm", math.inf),
        init_scale=_number(given, "init_scale", 1.0),
    )


def _decay_to_end(configuration: Configuration) -> float:
    """Return the decay per epoch that leaves the fraction `lr_end` of the learning rate in the last planned epoch.

    A decay per epoch that suits 5 epochs leaves almost nothing after 40; this fraction suits stages of any length.
    """
    fraction = _number(configuration.parameters, "lr_end", 1.0)
    if fraction > 1:
        raise UserError(f"lr_end is {fraction:g}", do="Use at most 1: the final fraction of the learning rate")
    if fraction != 1.0 and configuration.epochs < 1:
        raise UserError("lr_end needs the number of epochs", do="Set `epochs`")
    return float(fraction ** (1 / max(configuration.epochs - 1, 1)))


def optimizer_for(model: nn.Module, hyperparameters: Hyperparameters) -> Optimizer:
    """Create the PyTorch optimizer; the learning rate is set before every step."""
    optimizer = make_optimizer(
        hyperparameters.optimizer, model, lr=hyperparameters.lr, weight_decay=hyperparameters.weight_decay
    )
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (hyperparameters.beta1, hyperparameters.beta2)
        if "alpha" in group:
            group["alpha"] = hyperparameters.beta2
        if "momentum" in group:
            group["momentum"] = hyperparameters.momentum or 0.0
    return optimizer


def scale_weights(model: nn.Module, init_scale: float) -> None:
    """Scale the initial weights: parameters with two or more dimensions, so neither biases nor norm scales."""
    if init_scale != 1.0:
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(init_scale)


def _number(
    given: Mapping[str, Value], name: str, otherwise: float, *, low: float = 0.0, below: float = math.inf
) -> float:
    try:
        value = float(given.get(name, otherwise))
    except ValueError as problem:
        raise UserError(f"{name} is {given[name]!r}", do="Use a number") from problem
    if math.isinf(value) and not math.isinf(otherwise):
        raise UserError(f"{name} is {value:g}", do="Use a finite number")
    if math.isnan(value) or value < low or (value >= below and below < math.inf):
        limits = f"at least {low:g}" + (f" and below {below:g}" if below < math.inf else "")
        raise UserError(f"{name} is {value:g}", do=f"Use {limits}")
    return value


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of the next step for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def clip(model: nn.Module, grad_clip_norm: float) -> None:
    """Clip the total norm of all gradients."""
    if grad_clip_norm < math.inf:
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip_norm)
