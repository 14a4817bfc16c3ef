"""Whose parameter is whose: names, layers and kinds, found by a tensor's identity."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Final, final

import torch
from torch import Tensor, nn

# What torch puts around a model, and where the model is inside it.
WRAPPERS: Final = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module"}


@final
class Place:
    """One place of the network that holds parameters directly: a row of the vitals."""

    __slots__ = ("fan_in", "kind", "name", "parameters")

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.fan_in = 0
        self.parameters: dict[str, weakref.ref[Tensor]] = {}  # full parameter name -> tensor

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters that still exist, by name."""
        for name, reference in self.parameters.items():
            tensor = reference()
            if tensor is not None:
                yield name, tensor

    @property
    def weight(self) -> Tensor | None:
        """The largest parameter: what gradients and updates are measured on."""
        return max(
            (tensor for _, tensor in self.tensors()),
            key=lambda tensor: (tensor.dim() > 1, tensor.numel()),
            default=None,
        )

    @property
    def bias(self) -> Tensor | None:
        """The parameter named bias, or None."""
        return next((tensor for name, tensor in self.tensors() if name.rsplit(".", 1)[-1].startswith("bias")), None)

    @property
    def unit_axis(self) -> int:
        """The axis of `weight` along which the units lie."""
        if self.kind == "matmul":
            return -1
        return 1 if "Transpose" in self.kind else 0


@final
class ParameterBook:
    """Every parameter met so far."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self._owner: dict[int, tuple[weakref.ref[Tensor], str, str]] = {}  # id -> (tensor, parameter name, place name)
        self._roots: dict[int, weakref.ref[nn.Module]] = {}
        self.model_names: list[str] = []
        self.module_kinds: Counter[str] = Counter()

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
            if self.name(tensor) is None and not isinstance(tensor, nn.UninitializedParameter)
        ]
        if not fresh:
            return False
        self.model_names.append(prefix or type(root).__name__)
        self.module_kinds.update(type(module).__name__ for _, module in modules if not list(module.children()))
        for path, module, name, tensor in fresh:
            full = ".".join(part for part in (prefix, path) if part) or type(root).__name__
            self._add(tensor, f"{prefix + '.' if prefix else ''}{path + '.' if path else ''}{name}", full, module)
        return True

    def _add(self, tensor: Tensor, name: str, place_name: str, module: nn.Module | None) -> None:
        place = self.places.get(place_name)
        if place is None:
            place = self.places[place_name] = Place(
                place_name, type(module).__name__ if module is not None else "matmul"
            )
        place.parameters[name] = weakref.ref(tensor)
        self._owner[id(tensor)] = (weakref.ref(tensor), name, place_name)
        weight = place.weight
        if weight is not None and weight.dim() > 1:
            place.fan_in = weight.shape[0] if place.unit_axis == -1 else weight[0].numel() if weight.shape[0] else 0

    def adopt(self, tensor: Tensor, place_name: str | None = None) -> str:
        """Take in a parameter that no module holds; returns its place."""
        name = f"parameter{len(self._owner)}"
        self._add(tensor, name, place_name or name, None)
        return place_name or name

    def attach(self, place_name: str, tensor: Tensor) -> None:
        """Say that a parameter without a module is the bias of a place."""
        entry = self._owner.get(id(tensor))
        if entry is None or entry[2] == place_name or self.places[entry[2]].kind != "matmul":
            return
        old = self.places[entry[2]]
        if len(old.parameters) == 1:
            del self.places[entry[2]]
            self._add(tensor, f"{entry[1]}.bias", place_name, None)

    def _entry(self, tensor: Tensor) -> tuple[weakref.ref[Tensor], str, str] | None:
        entry = self._owner.get(id(tensor))
        return entry if entry is not None and entry[0]() is tensor else None

    def name(self, tensor: Tensor) -> str | None:
        """The parameter's name, or None for a stranger."""
        entry = self._entry(tensor)
        return entry[1] if entry else None

    def place_of(self, tensor: Tensor) -> str | None:
        """The name of the place that holds the parameter, or None."""
        entry = self._entry(tensor)
        return entry[2] if entry else None

    def known(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter that still exists, by name."""
        for reference, name, _ in list(self._owner.values()):
            tensor = reference()
            if tensor is not None:
                yield name, tensor


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
