"""Two baseline networks: a multilayer perceptron and a small convolutional network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from babysit.nn.activations import make_activation, width_factor
from babysit.nn.initialize import initialize_
from babysit.records.errors import UserError


def mlp(
    inputs: int | Sequence[int],
    outputs: int,
    *,
    hidden: Sequence[int] = (64, 32),
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
    init: str = "auto",
) -> nn.Sequential:
    """Build dense layers of `hidden` units each and a last layer of `outputs` units (logits, no softmax).

    `inputs` is a number of features, or the shape of one sample, which is then flattened. BatchNorm comes before the
    activation, dropout after it. Weights are initialized by following activation, or as given by `init`.
    """
    shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
    _refuse_sizes(inputs=shape, outputs=(outputs,), hidden=hidden)
    _refuse_share(dropout)
    layers: list[nn.Module] = [] if isinstance(inputs, int) else [nn.Flatten()]
    width = math.prod(shape)
    for units in hidden:
        wide = units * width_factor(activation)
        # BatchNorm has its own shift, which makes a preceding bias redundant.
        layers.append(nn.Linear(width, wide, bias=not batch_norm))
        layers += [nn.BatchNorm1d(wide)] if batch_norm else []
        layers.append(make_activation(activation))
        layers += [nn.Dropout(dropout)] if dropout else []
        width = units
    layers.append(nn.Linear(width, outputs))
    return initialize_(nn.Sequential(*layers), init)


def cnn(
    input_shape: Sequence[int],
    outputs: int,
    *,
    channels: Sequence[int] = (32, 64),
    activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
    init: str = "auto",
) -> nn.Sequential:
    """Build blocks of 3 x 3 convolution, activation and 2 x 2 max pooling, then a dense layer of `outputs` units.

    `input_shape` is (channels, height, width). Pooling stops at a height or width of one pixel. BatchNorm comes before
    the activation, dropout before the last layer. Weights are initialized as in `mlp`.
    """
    if len(input_shape) != 3:
        raise UserError(
            f"a convolutional network needs images, not samples of the shape {tuple(input_shape)}",
            do="Give (channels, height, width), or build an mlp",
        )
    _refuse_sizes(input_shape=input_shape, outputs=(outputs,), channels=channels)
    _refuse_share(dropout)
    inputs, height, width = input_shape
    layers: list[nn.Module] = []
    for units in channels:
        wide = units * width_factor(activation)
        layers.append(nn.Conv2d(inputs, wide, kernel_size=3, padding=1, bias=not batch_norm))
        layers += [nn.BatchNorm2d(wide)] if batch_norm else []
        layers.append(make_activation(activation))
        if min(height, width) > 1:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        inputs = units
    layers.append(nn.Flatten())
    layers += [nn.Dropout(dropout)] if dropout else []
    layers.append(nn.Linear(inputs * height * width, outputs))
    return initialize_(nn.Sequential(*layers), init)


def _refuse_sizes(**sizes: Sequence[int]) -> None:
    for name, values in sizes.items():
        if any(value < 1 for value in values):
            raise UserError(f"{name} is {', '.join(map(str, values))}", do="Give whole numbers from 1 on")


def _refuse_share(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise UserError(f"dropout is {dropout}", do="Give the share of units to drop, from 0 to below 1")
