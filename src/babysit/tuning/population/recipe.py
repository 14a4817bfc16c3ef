"""How a member is trained: the hyperparameters that a trainer reads itself, resolved to numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import nn
from torch.optim import Optimizer

from babysit.probes.optimizers import OPTIMIZERS, make_optimizer
from babysit.records.problem import UserError
from babysit.records.trial import Value
from babysit.tuning.executor import Member, Workload

# What PyTorch takes by default, but for momentum, which is the lecture's (as in probes/optimizers.py).
_MOMENTUM: Final = {"momentum": 0.9, "nesterov": 0.9}
_BETA1: Final = 0.9
_BETA2: Final = {"rmsprop": 0.99}  # named alpha there
_ANY_BETA2: Final = 0.999
_WITH_MOMENTUM: Final = frozenset({"sgd", "momentum", "nesterov", "rmsprop"})


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers that train a member. What an optimizer does not know is left unused by it."""

    optimizer: str
    batch_size: int
    rate: float
    weight_decay: float
    momentum: float | None  # None: no momentum at all, so no buffer for it
    beta1: float  # of the gradient (Adam)
    beta2: float  # of the squared gradient (Adam, RMSprop)
    rate_decay: float  # the rate is multiplied by it after every epoch
    warmup_steps: int  # over so many steps the rate rises evenly from near zero
    clip_norm: float  # the largest norm of all gradients together; infinite: never clipped
    init_scale: float  # what initial weights (not biases or scales) are multiplied by

    def rate_at(self, step: int, epoch: int) -> float:
        """The rate of a step, both counted from 0 at the member's beginning."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.rate * float(self.rate_decay**epoch) * warm


def recipe_of(member: Member, workload: Workload) -> Recipe:
    """The recipe for a member's hyperparameters, the workload's where it has none.

    Raises:
        UserError: a number that no training can use, or an unknown optimizer.
    """
    given = member.parameters
    kind = str(given.get("optimizer", workload.optimizer)).lower()
    if kind not in OPTIMIZERS:
        raise UserError(f"there is no optimizer {kind!r}", do=f"Take one of {', '.join(OPTIMIZERS)}")
    momentum = given.get("momentum", _MOMENTUM.get(kind)) if kind in _WITH_MOMENTUM else None
    if kind == "nesterov" and momentum == 0:
        raise UserError("nesterov needs a momentum above 0", do="Search from 0.1, or take sgd")
    return Recipe(
        optimizer=kind,
        batch_size=int(_number(given, "batch_size", workload.batch_size, low=1)),
        rate=_number(given, "rate", workload.rate),
        weight_decay=_number(given, "weight_decay", workload.weight_decay),
        momentum=None if momentum is None else _number({"momentum": momentum}, "momentum", 0.0, below=1.0),
        beta1=_number(given, "beta1", _BETA1, below=1.0),
        beta2=_number(given, "beta2", _BETA2.get(kind, _ANY_BETA2), below=1.0),
        rate_decay=_number(given, "rate_decay", 1.0) * _decay_to_end(member),
        warmup_steps=int(_number(given, "warmup_steps", 0)),
        clip_norm=_number(given, "clip_norm", math.inf),
        init_scale=_number(given, "init_scale", 1.0),
    )


def _decay_to_end(member: Member) -> float:
    """The factor after each epoch that leaves `rate_end` of the rate in the last epoch that is planned.

    A decay an epoch that suits 5 epochs leaves nothing of the rate after 40; this share suits stages of any length.
    """
    share = _number(member.parameters, "rate_end", 1.0)
    if share > 1:
        raise UserError(f"rate_end is {share:g}", do="Give at most 1: it is the share of the rate that is left")
    if share != 1.0 and member.epochs < 1:
        raise UserError("rate_end needs to know for how many epochs is trained", do="Give the member its `epochs`")
    return float(share ** (1 / max(member.epochs - 1, 1)))


def optimizer_for(model: nn.Module, recipe: Recipe) -> Optimizer:
    """PyTorch's own optimizer for this recipe; its rate is to be set before every step."""
    optimizer = make_optimizer(recipe.optimizer, model, rate=recipe.rate, weight_decay=recipe.weight_decay)
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (recipe.beta1, recipe.beta2)
        if "alpha" in group:
            group["alpha"] = recipe.beta2
        if "momentum" in group:
            group["momentum"] = recipe.momentum or 0.0
    return optimizer


def scale_weights(model: nn.Module, init_scale: float) -> None:
    """Multiplies the initial weights: parameters with two or more dimensions, so neither biases nor norm scales."""
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
        raise UserError(f"{name} is {given[name]!r}", do="Give a number") from problem
    if math.isinf(value) and not math.isinf(otherwise):
        raise UserError(f"{name} is {value:g}", do="Give a finite number")
    if math.isnan(value) or value < low or (value >= below and below < math.inf):
        limits = f"at least {low:g}" + (f" and below {below:g}" if below < math.inf else "")
        raise UserError(f"{name} is {value:g}", do=f"Give {limits}")
    return value


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """The rate of the next step, for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip(model: nn.Module, clip_norm: float) -> None:
    """Makes all gradients together no longer than this."""
    if clip_norm < math.inf:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
