"""Data read, split and measured, and how to build a model for them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

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

# Hyperparameters that change the model itself; a search hands every one it tries to the builder.
SHAPING: Final = frozenset({"activation", "batch_norm", "dropout"})


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


def prepare(source: str, *, target: str = "", model: str = "", seed: int = 0) -> Prepared:
    """Read and split the data, and build models that begin with their preprocessing.

    Tables are standardized, images are centered, by the statistics of the training split alone. Being the model's
    first layer, it is saved with the model and the same for every split. Raises UserError for data or a model that
    cannot be used.
    """
    samples = load_data(source, target=target or None)
    splits = split(samples, seed=seed)
    image = samples.kind == "image"
    core = _core(samples, model)

    def build(parameters: dict[str, Value]) -> nn.Module:
        preprocessing = Center.fit(splits.train.x) if image else Standardize.fit(splits.train.x)
        return nn.Sequential(OrderedDict(preprocessing=preprocessing, model=core(parameters)))

    measured = msgspec.structs.replace(
        profile(splits), preprocessing=f"{'centered' if image else 'standardized'} by the training split"
    )
    return Prepared(splits=splits, profile=measured, build=build)


def _core(samples: Samples, model: str) -> Callable[[dict[str, Value]], nn.Module]:
    if model:
        return lambda parameters: import_model(model, samples.input_shape, samples.outputs)
    if samples.kind == "image":
        return lambda parameters: cnn(samples.input_shape, samples.outputs, **_shaping(parameters, "channels", 2))
    return lambda parameters: mlp(samples.input_shape[0], samples.outputs, **_shaping(parameters, "hidden", 0.5))


def _shaping(parameters: dict[str, Value], width: str, next_layer: float) -> dict[str, Any]:
    """What of the hyperparameters the builder takes; one width stands for both layers."""
    taken: dict[str, Any] = {name: parameters[name] for name in SHAPING if name in parameters}
    if width in parameters:
        first = int(parameters[width])
        taken[width] = (first, max(1, int(first * next_layer)))
    return taken
