"""Weight initialization by following activation, and the other schemes of the lecture for comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from babysit.nn.activation_lookup import WEIGHTED, FollowingActivation, activation_name, following_activations
from babysit.nn.lsuv import scale_by_data_
from babysit.records.errors import UserError

Model = TypeVar("Model", bound=nn.Module)

SCHEMES: Final = (
    "auto",
    "he",
    "xavier",
    "xavier_two_sided",
    "orthogonal",
    "lsuv",
    "small",
    "large",
    "constant",
    "zeros",
)
_SMALL = 0.01  # the lecture's 0.01 * N(0, 1): activations of a deep network collapse to 0
_LARGE = 1.0  # the lecture's 1.0 * N(0, 1): tanh saturates at -1 and 1
# The last layer starts below Xavier's standard deviation, so that predictions start uniform and the initial loss is
# close to ln C. Measured on standardized digits with 2 and 6 hidden layers: Xavier starts at 2.70 and 2.50, a third of
# it at 2.36 and 2.32, where ln 10 is 2.303, with the same accuracy after 20 epochs; with a tenth, the first layers get
# only 3 % of the last layer's gradient.
_OUTPUT_GAIN = 0.3
_CONSTANT = 0.01  # any constant makes all units of a layer the same


def initialize_(
    model: Model,
    scheme: str = "auto",
    *,
    activations: Mapping[str, str] | None = None,
    relu_bias: float = 0.0,
    x: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Model:
    """Set the weights of dense and convolutional layers in place, their biases to zero, and return the model.

    Every scheme but the constants samples from a normal distribution. Normalization layers, embeddings, recurrent
    layers and frozen layers are unchanged.

    Args:
        model: any module.
        scheme: "auto" chooses by the activation that follows each layer: He for ReLU and its variants (with the leaky
            slope), Xavier for tanh, sigmoid and no activation, 0.3 of Xavier for the last layer. "he" and "xavier" use
            one rule for all layers; "xavier_two_sided" averages fan-in and fan-out; "orthogonal" uses the gains of
            "auto"; "lsuv" scales orthogonal weights on the data x until the output of each layer has a standard
            deviation of 1, and 0.3 for the last one (Mishkin and Matas 2015); "small", "large", "constant" and "zeros"
            are the lecture's bad examples.
        activations: layer name -> activation that follows, where it cannot be detected.
        relu_bias: the bias of layers followed by ReLU or a variant (the lecture's 0.01 against dead units).
        x: a batch of real inputs: required for "lsuv", and used to run models whose forward pass branches on values
            (otherwise the registration order of the modules decides).
        generator: random generator; PyTorch's global one when not given.

    Raises:
        UserError: the scheme or a named layer is unknown, a layer is not initialized yet (lazy), or the model fails
            on x.
    """
    if scheme not in SCHEMES:
        raise UserError(f"there is no initialization {scheme!r:.60}", do=f"Available: {', '.join(SCHEMES)}")
    if x is None and scheme == "lsuv":
        raise UserError("lsuv scales weights by real data", do="Pass a batch of inputs as x")
    following = following_activations(model, x)
    following |= _named(activations or {}, following)
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, WEIGHTED) and name in following:
                _initialize_layer(name, layer, scheme, following[name], relu_bias, generator)
    if x is not None and scheme == "lsuv":
        trained = {name for name in following if model.get_submodule(name).weight.requires_grad}
        scale_by_data_(model, x, {name: _OUTPUT_GAIN if following[name].is_output else 1.0 for name in trained})
    return model


def _named(
    activations: Mapping[str, str], following: Mapping[str, FollowingActivation]
) -> dict[str, FollowingActivation]:
    unknown = [name for name in activations if name not in following]
    if unknown:
        raise UserError(
            f"the model has no dense or convolutional layer {unknown[0]!r:.60}",
            do=f"Its layers are {', '.join(following) or 'none'}",
        )
    return {
        name: FollowingActivation(activation=activation_name(kind), is_output=following[name].is_output)
        for name, kind in activations.items()
    }


def _initialize_layer(
    name: str,
    layer: nn.Module,
    scheme: str,
    after: FollowingActivation,
    relu_bias: float,
    generator: torch.Generator | None,
) -> None:
    weight, bias = layer.weight, layer.bias
    if not isinstance(weight, Tensor) or nn.parameter.is_lazy(weight):
        raise UserError("this layer is not initialized yet", where=name, do="Run one batch through the model first")
    if not weight.requires_grad and not is_parametrized(layer):
        return
    values = torch.empty_like(weight)
    if scheme in {"orthogonal", "lsuv"}:
        nn.init.orthogonal_(values, gain=_gain(after), generator=generator)
    elif scheme in {"constant", "zeros"}:
        values.fill_(_CONSTANT if scheme == "constant" else 0.0)
    else:
        values.normal_(0.0, _std(layer, scheme, after), generator=generator)
    if is_parametrized(layer, "weight"):
        layer.weight = values  # goes through the parametrization's inverse
    else:
        weight.copy_(values)
    if isinstance(bias, Tensor):
        bias.fill_(relu_bias if _is_relu_like(after) else 0.0)


def _std(layer: nn.Module, scheme: str, after: FollowingActivation) -> float:
    """Return the standard deviation of a layer's weights."""
    fan_in, fan_out = _fans(layer)
    return {
        "auto": _gain(after) / math.sqrt(fan_in),
        "he": math.sqrt(2 / fan_in),
        "xavier": math.sqrt(1 / fan_in),
        "xavier_two_sided": math.sqrt(2 / (fan_in + fan_out)),
        "small": _SMALL,
        "large": _LARGE,
    }[scheme]


def _fans(layer: nn.Module) -> tuple[float, float]:
    """Return fan-in and fan-out."""
    if isinstance(layer, nn.Linear):
        return max(1, layer.in_features), max(1, layer.out_features)
    assert isinstance(layer, nn.modules.conv._ConvNd)
    taps = math.prod(layer.kernel_size) / layer.groups
    sparse = math.prod(layer.stride)  # with a stride, only this fraction of the taps is used on one side
    if layer.transposed:
        return max(1.0, layer.in_channels * taps / sparse), max(1.0, layer.out_channels * taps)
    return layer.in_channels * taps, max(1.0, layer.out_channels * taps / sparse)


_RELU_LIKE = frozenset({"relu", "leaky_relu", "prelu", "elu", "gelu", "silu", "maxout"})


def _is_relu_like(after: FollowingActivation) -> bool:
    return after.activation in _RELU_LIKE and not after.is_output


def _gain(after: FollowingActivation) -> float:
    """Return the gain that preserves the mean square through the activation.

    For ReLU it is He's sqrt(2), for a leaky slope a sqrt(2 / (1 + a^2)) (He et al. 2015, section 2.2); for the other
    variants it follows from the same argument: 1 / sqrt(E[f(z)^2]) for z from N(0, 1).
    """
    if after.is_output:
        return _OUTPUT_GAIN
    if not _is_relu_like(after):
        return 1.0
    if after.activation in {"leaky_relu", "prelu"}:
        return math.sqrt(2 / (1 + _slope(after) ** 2))
    pieces = int(getattr(after.module, "pieces", 2)) if after.activation == "maxout" else 1
    return _numeric_gain(after.activation, pieces)


def _slope(after: FollowingActivation) -> float:
    if isinstance(after.module, nn.PReLU):
        return float(after.module.weight.detach().mean())
    if isinstance(after.module, nn.LeakyReLU):
        return after.module.negative_slope
    return 0.25 if after.activation == "prelu" else 0.01  # PyTorch's defaults


_SMOOTH: Final[dict[str, Callable[[Tensor], Tensor]]] = {"elu": F.elu, "gelu": F.gelu, "silu": F.silu}


@cache
def _numeric_gain(activation: str, pieces: int) -> float:
    """Compute 1 / sqrt(E[f(z)^2]); for Maxout, f is the maximum of `pieces` independent values."""
    if activation == "relu":
        return math.sqrt(2)
    z = torch.linspace(-10, 10, 20001, dtype=torch.float64)  # beyond 10 the density is below 1e-22
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    if activation == "maxout":
        below = torch.special.ndtr(z)
        return 1 / math.sqrt(float(torch.trapezoid(z**2 * pieces * density * below ** (pieces - 1), z)))
    return 1 / math.sqrt(float(torch.trapezoid(_SMOOTH[activation](z) ** 2 * density, z)))
