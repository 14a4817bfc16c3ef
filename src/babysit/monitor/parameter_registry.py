"""Whose parameter is whose: names, layers and kinds, found by a tensor's identity."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from typing import Final, final

import torch
from torch import Tensor, nn

from babysit.monitor.mode_effects import mode_effect

# What torch puts around a model, and where the model is inside it.
WRAPPERS: Final = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module"}

# Modules with a fused inference path that a function mode would switch off, changing the last bits of their result.
FUSED: Final = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)
# A step changes every layer, nearly always; a few tell of it.
FINGERPRINTED: Final = 4


@final
class ParameterRef:
    """One parameter: found while it lives, and described also when it is gone (a model local to a function)."""

    __slots__ = ("_tensor", "_trainable", "name", "place", "shape")

    def __init__(self, tensor: Tensor, name: str, place: str) -> None:
        self._tensor = weakref.ref(tensor)
        self._trainable = tensor.requires_grad
        self.name = name
        self.place = place
        self.shape = tuple(tensor.shape)

    @property
    def tensor(self) -> Tensor | None:
        """The parameter itself, or None when it is gone."""
        return self._tensor()

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def trainable(self) -> bool:
        """Whether it requires a gradient, now or when it was last looked at."""
        tensor = self._tensor()
        if tensor is not None:
            self._trainable = tensor.requires_grad
        return self._trainable


@final
class LayerParameters:
    """One place of the network that holds parameters directly: a row of the layer metrics."""

    __slots__ = ("kind", "momentum", "name", "parameters")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.momentum: float | None = None  # of a batch norm's running averages
        self.parameters: dict[str, ParameterRef] = {}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters that still exist, by name."""
        for name, held in self.parameters.items():
            tensor = held.tensor
            if tensor is not None:
                yield name, tensor

    @property
    def _largest(self) -> ParameterRef | None:
        held = self.parameters.values()
        return max(held, key=lambda one: (len(one.shape) > 1, one.count), default=None)

    @property
    def weight(self) -> Tensor | None:
        """The largest parameter; None when it is gone."""
        largest = self._largest
        return largest.tensor if largest is not None else None

    @property
    def trained(self) -> Tensor | None:
        """What gradients and updates are measured on: the weight, or where that is frozen the largest that is not."""
        moving = [one for one in self.parameters.values() if one.trainable]
        largest = self._largest if self._largest in moving else max(moving, key=lambda one: one.count, default=None)
        return largest.tensor if largest is not None else self.weight

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the largest parameter."""
        largest = self._largest
        return largest.shape if largest is not None else ()

    @property
    def fan_in(self) -> int:
        """Inputs of one unit."""
        shape = self.weight_shape
        if len(shape) < 2:
            return 0
        return shape[0] if self.unit_axis == -1 else math.prod(shape[1:])

    @property
    def has_bias(self) -> bool:
        """Whether one of the parameters is a bias."""
        return any(_is_bias(name) for name in self.parameters)

    @property
    def bias(self) -> Tensor | None:
        """The bias, or None."""
        return next((tensor for name, tensor in self.tensors() if _is_bias(name)), None)

    @property
    def unit_axis(self) -> int:
        """The axis of `weight` along which the units lie."""
        if self.kind == "matmul":
            return -1
        return 1 if "Transpose" in self.kind else 0


def _is_bias(name: str) -> bool:
    return name.rsplit(".", 1)[-1].startswith("bias")


@final
class ParameterRegistry:
    """Every parameter met so far."""

    def __init__(self) -> None:
        self.places: dict[str, LayerParameters] = {}
        self._owner: dict[int, ParameterRef] = {}  # by the identity of the parameter
        self._all: dict[str, ParameterRef] = {}  # by name, those that are gone too
        self._roots: dict[int, weakref.ref[nn.Module]] = {}
        self.model_names: list[str] = []
        self.mode_dependent: dict[str, str] = {}  # what differs between train and eval mode, by the module's path

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters that still exist, by name."""
        for name, held in list(self._all.items()):
            if held.tensor is not None:
                yield name, held.tensor

    def is_root(self, module: nn.Module) -> bool:
        """Whether this is one of the models themselves, and not a part of one."""
        inner = unwrapped(module)
        known = self._roots.get(id(inner))
        return known is not None and known() is inner

    def register(self, root: nn.Module, prefix: str = "") -> bool:
        """Take in every parameter of a model, under its own names; False when it was already known."""
        root = unwrapped(root)
        known = self._roots.get(id(root))
        if known is not None and known() is root:
            return False
        self._roots[id(root)] = weakref.ref(root)
        modules = list(root.named_modules())
        fresh = [
            (path, module, name, tensor)
            for path, module in modules
            for name, tensor in module.named_parameters(recurse=False)
            if not self._in_a_module(tensor) and not isinstance(tensor, nn.UninitializedParameter)
        ]
        if not fresh:
            return False
        self.model_names.append(prefix or type(root).__name__)
        effects = {".".join(part for part in (prefix, path) if part): mode_effect(one) for path, one in modules}
        self.mode_dependent.update({path: effect for path, effect in effects.items() if effect})
        for path, module, name, tensor in fresh:
            self._release(tensor)
            full = ".".join(part for part in (prefix, path) if part) or type(root).__name__
            self._add(tensor, f"{prefix + '.' if prefix else ''}{path + '.' if path else ''}{name}", full, module)
        return True

    def _in_a_module(self, tensor: Tensor) -> bool:
        held = self._held(tensor)
        return held is not None and self.places[held.place].kind != "matmul"

    def _release(self, tensor: Tensor) -> None:
        """Forget a parameter that was met before the module that holds it (while it was initialized, say)."""
        held = self._held(tensor)
        if held is not None:
            place = self.places[held.place]
            del place.parameters[held.name], self._all[held.name]
            if not place.parameters:
                del self.places[held.place]

    def _add(self, tensor: Tensor, name: str, place_name: str, module: nn.Module | None) -> None:
        place = self.places.get(place_name)
        if place is None:
            place = self.places[place_name] = LayerParameters(
                place_name, type(module).__name__ if module is not None else "matmul"
            )
            momentum = getattr(module, "momentum", None) if "BatchNorm" in place.kind else None
            place.momentum = float(momentum) if isinstance(momentum, int | float) else None
        held = ParameterRef(tensor, name, place_name)
        place.parameters[name] = self._owner[id(tensor)] = self._all[name] = held

    def adopt(self, tensor: Tensor, place_name: str | None = None) -> str:
        """Take in a parameter that no module holds; returns its place."""
        name = f"parameter{len(self._owner)}"
        self._add(tensor, name, place_name or name, None)
        return place_name or name

    def attach(self, place_name: str, tensor: Tensor) -> None:
        """Say that a parameter without a module is the bias of a place."""
        held = self._held(tensor)
        if held is None or held.place == place_name or self.places[held.place].kind != "matmul":
            return
        if len(self.places[held.place].parameters) == 1:
            del self.places[held.place], self._all[held.name]
            self._add(tensor, f"{held.name}.bias", place_name, None)

    def _held(self, tensor: Tensor) -> ParameterRef | None:
        held = self._owner.get(id(tensor))
        return held if held is not None and held.tensor is tensor else None

    def fingerprint(self) -> tuple[float, ...]:
        """Something that changes when weights are changed; reads some values of the first layers."""
        weights = [place.weight for place in list(self.places.values())[:FINGERPRINTED]]
        return tuple(float(one.detach().flatten()[:64].double().sum()) for one in weights if one is not None)

    def name(self, tensor: Tensor) -> str | None:
        """The parameter's name, or None for a stranger."""
        held = self._held(tensor)
        return held.name if held else None

    def place_of(self, tensor: Tensor) -> str | None:
        """The name of the place that holds the parameter, or None."""
        held = self._held(tensor)
        return held.place if held else None

    def known(self) -> tuple[ParameterRef, ...]:
        """Every parameter ever met, in that order."""
        return tuple(self._all.values())


def unwrapped(module: nn.Module) -> nn.Module:
    """The user's own model inside what torch wrapped around it."""
    while type(module).__name__ in WRAPPERS:
        module = getattr(module, WRAPPERS[type(module).__name__])
    return module


def holds_parameters(module: nn.Module) -> bool:
    """Whether the module or one inside it has a parameter."""
    return next(module.parameters(), None) is not None


def is_compiled(module: nn.Module) -> bool:
    """Whether calling the module runs compiled or scripted code, which a mode must not enter."""
    return type(module).__name__ == "OptimizedModule" or isinstance(module, torch.jit.ScriptModule)


def runs_alone(module: nn.Module) -> bool:
    """Whether a call of the module must not be followed by a mode, which would change what it computes."""
    return is_compiled(module) or (isinstance(module, FUSED) and not module.training)
