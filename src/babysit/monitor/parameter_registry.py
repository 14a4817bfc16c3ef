"""Registry of parameters with their names and layers, by tensor identity."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from typing import Final, final

import torch
from torch import Tensor, nn

from babysit.monitor.mode_effects import mode_effect

# Wrappers of torch around a model, and the attribute that holds the model.
WRAPPERS: Final = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module"}

# Modules with a fused inference path that a function mode would disable, changing the last bits of their result.
FUSED: Final = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)
# A step nearly always changes every layer, so a few layers suffice.
FINGERPRINTED: Final = 4


@final
class ParameterRef:
    """A weak reference to a parameter with its description, which outlives it (a model local to a function)."""

    __slots__ = ("_tensor", "_trainable", "name", "place", "shape")

    def __init__(self, tensor: Tensor, name: str, place: str) -> None:
        self._tensor = weakref.ref(tensor)
        self._trainable = tensor.requires_grad
        self.name = name
        self.place = place
        self.shape = tuple(tensor.shape)

    @property
    def tensor(self) -> Tensor | None:
        """Return the parameter, or None if it no longer exists."""
        return self._tensor()

    @property
    def count(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)

    @property
    def trainable(self) -> bool:
        """Check whether it requires a gradient, now or when it last existed."""
        tensor = self._tensor()
        if tensor is not None:
            self._trainable = tensor.requires_grad
        return self._trainable


@final
class LayerParameters:
    """The parameters that one module holds directly: one row of the layer metrics."""

    __slots__ = ("kind", "momentum", "name", "parameters")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.momentum: float | None = None  # of the running averages of a batch norm
        self.parameters: dict[str, ParameterRef] = {}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters that still exist, by name."""
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
        """Return the largest parameter; None if it no longer exists."""
        largest = self._largest
        return largest.tensor if largest is not None else None

    @property
    def trained(self) -> Tensor | None:
        """Return the tensor that gradients and updates are measured on: the weight, or the largest unfrozen one."""
        moving = [one for one in self.parameters.values() if one.trainable]
        largest = self._largest if self._largest in moving else max(moving, key=lambda one: one.count, default=None)
        return largest.tensor if largest is not None else self.weight

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Return the shape of the largest parameter."""
        largest = self._largest
        return largest.shape if largest is not None else ()

    @property
    def fan_in(self) -> int:
        """Return the number of inputs of one unit."""
        shape = self.weight_shape
        if len(shape) < 2:
            return 0
        return shape[0] if self.unit_axis == -1 else math.prod(shape[1:])

    @property
    def has_bias(self) -> bool:
        """Check whether one of the parameters is a bias."""
        return any(_is_bias(name) for name in self.parameters)

    @property
    def bias(self) -> Tensor | None:
        """Return the bias, or None."""
        return next((tensor for name, tensor in self.tensors() if _is_bias(name)), None)

    @property
    def unit_axis(self) -> int:
        """Return the unit axis of `weight`."""
        if self.kind == "matmul":
            return -1
        return 1 if "Transpose" in self.kind else 0


def _is_bias(name: str) -> bool:
    return name.rsplit(".", 1)[-1].startswith("bias")


@final
class ParameterRegistry:
    """All parameters seen so far."""

    def __init__(self) -> None:
        self.places: dict[str, LayerParameters] = {}
        self._owner: dict[int, ParameterRef] = {}  # by the id of the parameter
        self._all: dict[str, ParameterRef] = {}  # by name, including those that no longer exist
        self._roots: dict[int, weakref.ref[nn.Module]] = {}
        self.model_names: list[str] = []
        self.mode_dependent: dict[str, str] = {}  # difference between train and eval mode, by module path

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters that still exist, by name."""
        for name, held in list(self._all.items()):
            if held.tensor is not None:
                yield name, held.tensor

    def is_root(self, module: nn.Module) -> bool:
        """Check whether a module is a registered model, not a part of one."""
        inner = unwrapped(module)
        known = self._roots.get(id(inner))
        return known is not None and known() is inner

    def register(self, root: nn.Module, prefix: str = "") -> bool:
        """Register all parameters of a model; return False if it was already known."""
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
        """Remove a parameter that was seen before the module that holds it (during its initialization, for example)."""
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
        """Register a parameter outside all modules and return the name of its layer."""
        name = f"parameter{len(self._owner)}"
        self._add(tensor, name, place_name or name, None)
        return place_name or name

    def attach(self, place_name: str, tensor: Tensor) -> None:
        """Register a parameter outside all modules as the bias of a layer."""
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
        """Return sums of some weights of the first layers, to detect changes of the weights."""
        weights = [place.weight for place in list(self.places.values())[:FINGERPRINTED]]
        return tuple(float(one.detach().flatten()[:64].double().sum()) for one in weights if one is not None)

    def name(self, tensor: Tensor) -> str | None:
        """Return the name of a parameter, or None if unknown."""
        held = self._held(tensor)
        return held.name if held else None

    def place_of(self, tensor: Tensor) -> str | None:
        """Return the name of the layer that holds the parameter, or None."""
        held = self._held(tensor)
        return held.place if held else None

    def known(self) -> tuple[ParameterRef, ...]:
        """Return all parameters ever seen, in order of appearance."""
        return tuple(self._all.values())


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the model inside the wrappers of torch."""
    while type(module).__name__ in WRAPPERS:
        module = getattr(module, WRAPPERS[type(module).__name__])
    return module


def holds_parameters(module: nn.Module) -> bool:
    """Check whether the module or a submodule has a parameter."""
    return next(module.parameters(), None) is not None


def is_compiled(module: nn.Module) -> bool:
    """Check whether calling the module runs compiled or scripted code, in which a mode must not be active."""
    return type(module).__name__ == "OptimizedModule" or isinstance(module, torch.jit.ScriptModule)


def runs_alone(module: nn.Module) -> bool:
    """Check whether an active mode would change the result of the module."""
    return is_compiled(module) or (isinstance(module, FUSED) and not module.training)
