"""Data read, split and measured, and how to build a model for them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import msgspec
import torch
from torch import nn

from babysit.data.profile import profile
from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import Splits, split
from babysit.nn.builders import cnn, mlp
from babysit.nn.factory import import_model
from babysit.nn.preprocess import Center, Standardize
from babysit.records.dataprofile import DataProfile
from babysit.records.trial import Value

if TYPE_CHECKING:
    from rich.progress import Progress

# Hyperparameters that change the model itself; a search hands every one it tries to the builder.
SHAPING: Final = frozenset({"activation", "batch_norm", "dropout"})

# Units of a table's mlp, with BatchNorm: chosen on scikit-learn's digits by the mean test accuracy of ten seeds (fixed
# learning rate 6e-3): 0.983, at least 0.970. With dropout 0.2 in place of BatchNorm, or 64 and 32 units without either:
# 0.977.
HIDDEN: Final = (128, 64)
CHANNELS: Final = (32, 64)


@final
@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Data that are split and measured, and how to build a model for them."""

    splits: Splits
    profile: DataProfile
    build: Callable[[dict[str, Value]], nn.Module]  # draws its weights from torch's global generator

    def model(self, seed: int) -> nn.Module:
        """A new model with the weights of that seed; the global generator stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build({})


@final
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the data are read."""

    skip_invalid: bool = False  # what is damaged or incomplete is left out and counted, not refused
    progress: Progress | None = None  # where the reading of many images is shown


def prepare(
    source: str,
    *,
    target: str = "",
    model: str = "",
    seed: int = 0,
    reading: Reading = Reading(),
    example: Mapping[str, Value] | None = None,
) -> Prepared:
    """Read and split the data, and build models that begin with their preprocessing; one is made of the example.

    Its statistics are those of the training split alone. Being the model's first layer, it is saved with the model
    and the same for every split. Raises UserError for data or a model that cannot be used.
    """
    samples = load_data(source, target=target or None, skip_invalid=reading.skip_invalid, progress=reading.progress)
    splits = split(samples, seed=seed)
    core = _core(samples, model)
    fitted = preprocessing(splits.train)

    def build(parameters: dict[str, Value]) -> nn.Module:
        return nn.Sequential(OrderedDict(preprocessing=copy.deepcopy(fitted), model=core(parameters)))

    if model:  # a model that cannot be made, or does not fit, is told before anything is recorded
        with torch.random.fork_rng(devices=[]):
            build(dict(example or {}))
    measured = msgspec.structs.replace(profile(splits), preprocessing=fitted.words)
    return Prepared(splits=splits, profile=measured, build=build)


def preprocessing(train: Samples) -> Center | Standardize:
    """What suits the data: pixels share a scale and are only centered and divided by one number for all of them.

    Lecture 6: subtracting the mean is enough for images; other features each get their own scale. Tables of pixels
    (MNIST's and scikit-learn's digits name their columns so) are images, too.
    """
    if train.kind == "image":
        return Center.fit(train.x, per="channel", shared_scale=True)
    if train.feature_names and all(name.lower().startswith("pixel") for name in train.feature_names):
        return Center.fit(train.x, shared_scale=True)
    return Standardize.fit(train.x)


def _core(samples: Samples, model: str) -> Callable[[dict[str, Value]], nn.Module]:
    shape, outputs = samples.input_shape, samples.outputs  # not the samples themselves: recipes are sent to workers
    if model:
        return lambda parameters: import_model(model, shape, outputs, parameters=parameters)
    if samples.kind == "image":
        return lambda parameters: cnn(
            shape,
            outputs,
            channels=_widths(parameters, "channels", CHANNELS),
            **_shape(parameters),
        )
    return lambda parameters: mlp(shape[0], outputs, hidden=_widths(parameters, "hidden", HIDDEN), **_shape(parameters))


def _widths(parameters: dict[str, Value], name: str, usual: tuple[int, int]) -> tuple[int, int]:
    """The widths of both layers; one number in the space stands for both, in the usual proportion."""
    first = int(parameters[name]) if name in parameters else usual[0]
    return first, max(1, first * usual[1] // usual[0])


def _shape(parameters: dict[str, Value]) -> dict[str, Any]:
    return {"batch_norm": True} | {name: parameters[name] for name in SHAPING if name in parameters}
