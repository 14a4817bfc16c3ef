"""Checks the function that builds the model before a search uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import torch
from torch import nn

from babysit.experiments.optimizers import OPTIMIZERS
from babysit.records.errors import UserError
from babysit.records.trial import Value
from babysit.training.hyperparameters import hyperparameters_of
from babysit.tuning.executors.base import UNDERSTOOD, Build, TrainingTask, TrialConfig
from babysit.tuning.space import Categorical, Dimension, Space


def check_build(build: Build, space: Space) -> None:
    """Build two models from the middle of the space and discard them.

    Raises:
        UserError: building fails, returns no model or the same one twice, or nothing uses one of the hyperparameters.
    """
    tried = [_Noticing(example) for example in space.examples()]
    with torch.random.fork_rng(devices=[]):
        first, second = _built(build, tried[0]), _built(build, tried[0])
        for example in tried[1:]:
            _built(build, example)
    weights = {id(weight) for weight in first.parameters() if weight.requires_grad}
    if any(id(weight) in weights for weight in second.parameters()):
        raise UserError(
            "the model builder returned the same weights twice, so trials would train on one another's",
            do="Create a new model in the function",
        )
    unused = sorted(set(space.dimensions) - {name for example in tried for name in example.read} - UNDERSTOOD)
    if unused:
        raise UserError(
            f"nothing uses {', '.join(unused)}",
            where="the search space",
            do=f"Read it in the function that builds the model, or use a name the trainer knows: "
            f"{', '.join(sorted(UNDERSTOOD))}",
        )


def check_choices(space: Space, workload: TrainingTask) -> None:
    """Check the values that the trainer uses: choices and the ends of ranges, with each optimizer.

    Raises:
        UserError: an unknown optimizer, or a number with which no training is possible.
    """
    choices = {name: space.dimensions[name] for name in space.ordered if name in UNDERSTOOD}
    optimizers = choices.get("optimizer")
    kinds = optimizers.values if isinstance(optimizers, Categorical) else (workload.optimizer,)
    unknown = [str(kind) for kind in kinds if str(kind).lower() not in OPTIMIZERS]
    if unknown:
        raise UserError(f"there is no optimizer {', '.join(unknown)}", do=f"Use one of {', '.join(OPTIMIZERS)}")
    for name, dimension in choices.items():
        values, text = _tried_of(name, dimension)
        for value in values:
            for kind in kinds:
                given: dict[str, Value] = {"optimizer": kind}
                condition = space.when.get(name)
                if condition is None or condition.name != "optimizer" or kind in condition.values:
                    _check_hyperparameters(given | {name: value}, workload, text or f"{name}={value}")


def _tried_of(name: str, dimension: Dimension) -> tuple[tuple[Value, ...], str]:
    """Return all values of a choice, or values just inside both ends of a range, and the range as text."""
    if isinstance(dimension, Categorical):
        return dimension.values, ""
    ends = dimension.value(0.001), dimension.value(0.999)
    return ends, f"{name}={dimension.low:g}..{dimension.high:g}"


def _check_hyperparameters(given: dict[str, Value], workload: TrainingTask, text: str) -> None:
    try:
        hyperparameters_of(TrialConfig(number=0, parameters=given, epochs=1), workload)
    except UserError as problem:
        raise UserError(problem.what, where=problem.where or text, do=problem.do) from problem


def _built(build: Build, parameters: _Noticing) -> nn.Module:
    try:
        model: Any = build(parameters)
    except UserError:
        raise
    except KeyError as problem:
        raise UserError(
            f"the model builder asks for {problem}, which is not in the search space",
            do=f"Add it to the space, which has {', '.join(dict(parameters))}",
        ) from problem
    except Exception as problem:
        raise UserError(
            f"the model builder failed: {type(problem).__name__}: {problem}", where=f"called with {dict(parameters)}"
        ) from problem
    if not isinstance(model, nn.Module):
        raise UserError(f"the model builder returned {type(model).__name__}, not a torch model")
    return model


@final
class _Noticing(dict[str, Value]):
    """A dict that records which names were read; all of them if it is iterated."""

    def __init__(self, values: dict[str, Value]) -> None:
        dict.__init__(self, values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Value:
        self.read.add(name)
        return dict.__getitem__(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return dict.get(self, name, default)

    def pop(self, name: str, *default: Any) -> Any:
        self.read.add(name)
        return dict.pop(self, name, *default)

    # Overridden so that `**parameters` reads the names one by one instead of copying the dict unseen.
    def __iter__(self) -> Iterator[str]:
        self.read.update(dict.keys(self))
        return dict.__iter__(self)

    def items(self) -> Any:
        self.read.update(dict.keys(self))
        return dict.items(self)

    def values(self) -> Any:
        self.read.update(dict.keys(self))
        return dict.values(self)
