"""Signatures: members with the same modules, shapes and constants can be trained as one."""

from __future__ import annotations

import copy
import functools
import hashlib
import types
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from babysit.training.hyperparameters import Hyperparameters

# Modules whose random numbers are a single mask, so that it can be drawn in advance and shared.
_ELEMENTWISE: Final = (nn.Dropout,)
_BY_CHANNEL: Final = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_LONG: Final = 100  # a longer list holds data, not settings
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.Size)


@final
class PreparedDropout(nn.Module):
    """Dropout with a given mask: `noise` is 0 where a value is dropped and 1 / (1 - p) elsewhere.

    So p may differ between members, and all backends use the same draws.
    """

    noise: Tensor

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.by_channel = kind in _BY_CHANNEL
        self.register_buffer("noise", torch.ones(()))
        self.requested: list[tuple[int, ...]] | None = None  # shapes of the masks, while recorded

    def forward(self, x: Tensor) -> Tensor:
        """Multiply the input by the mask; the identity in eval mode."""
        if not self.training:
            return x
        shape = (*x.shape[:2], *[1] * (x.dim() - 2)) if self.by_channel else tuple(x.shape)
        if self.requested is not None:
            self.requested.append(shape)
            return x
        if self.noise.dim() and tuple(self.noise.shape) != shape:
            raise RuntimeError(f"dropout of shape {tuple(x.shape)} with a mask of shape {tuple(self.noise.shape)}")
        return x * self.noise


def make_template(model: nn.Module) -> nn.Module:
    """Copy the model with dropout that takes its masks as buffers; raises any error of copying."""
    template = copy.deepcopy(model)
    replaced: dict[int, PreparedDropout] = {}
    for module in list(template.modules()):
        for name, child in list(module.named_children()):
            if type(child) in (*_ELEMENTWISE, *_BY_CHANNEL):
                module_for = replaced.setdefault(id(child), PreparedDropout(type(child)))
                module_for.train(child.training)
                setattr(module, name, module_for)
    return template


def dropout_probabilities(model: nn.Module) -> dict[str, float]:
    """Return the drop probability of each replaceable dropout by module name."""
    return {
        name: float(module.p)
        for name, module in model.named_modules()
        if type(module) in (*_ELEMENTWISE, *_BY_CHANNEL) and isinstance(module.p, float | int)
    }


@final
@dataclass(frozen=True, kw_only=True)
class Parts:
    """Names of a model's tensors by their role in training."""

    trained: tuple[str, ...]  # parameters that get a gradient
    moving: tuple[str, ...]  # buffers that a forward pass changes
    fixed: tuple[str, ...]  # everything else: the same for all members of a group


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, detached; shared ones under their first name only."""
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def signature(model: nn.Module, hyperparameters: Hyperparameters) -> str:
    """Return a hash that is equal for models computing the same function of their trained weights, by inspection.

    Includes names, shapes, types and settings of the modules, shared or frozen parameters, and what changes the step:
    batch size, optimizer, momentum and clipping. What cannot be inspected (a global that changes, a number inside a C
    object) is found by running both: equivalence.py.
    """
    facts: list[object] = [
        hyperparameters.batch_size,
        hyperparameters.optimizer,
        hyperparameters.momentum is None,
        hyperparameters.grad_clip_norm == float("inf"),
    ]
    names: dict[int, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        dropout = type(module) in (*_ELEMENTWISE, *_BY_CHANNEL)
        facts.append((name, type(module).__module__, type(module).__qualname__, stable_repr(type(module).forward)))
        facts.append(_class_contents(type(module)))
        facts.append(
            sorted((key, stable_repr(value)) for key, value in _settings(module) if not (dropout and key == "p"))
        )
        for kind, group in (("parameter", module._parameters), ("buffer", module._buffers)):
            for key, tensor in group.items():
                if tensor is not None:
                    first = names.setdefault(id(tensor), f"{name}.{key}")
                    facts.append((kind, key, first, tuple(tensor.shape), str(tensor.dtype), tensor.requires_grad))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of the values."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def stable_repr(value: object, depth: int = 4) -> str:
    """Convert a setting of a module to text: plain values by value, tensors by content, functions by code."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, Tensor):
        return content_hash({"": value})
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, type | types.BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, nn.Module | RemovableHandle) or depth == 0:  # modules are inspected separately
        return type(value).__qualname__
    if isinstance(value, tuple | list | dict | set | frozenset):
        return _collection_repr(value, depth - 1)
    if isinstance(value, functools.partial | types.MethodType | types.FunctionType):
        return _function_repr(value, depth - 1)
    return f"{type(value).__qualname__}{stable_repr([getattr(value, '__dict__', None), _slots(value)], depth)}"


def _collection_repr(value: Collection[object], depth: int) -> str:
    if len(value) > _LONG:
        return f"{type(value).__qualname__} of {len(value)}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {stable_repr(part, depth)}' for key, part in value.items())}}}"
    parts = [stable_repr(part, depth) for part in value]
    return f"[{', '.join(sorted(parts) if isinstance(value, set | frozenset) else parts)}]"


def _function_repr(value: functools.partial[object] | types.MethodType | types.FunctionType, depth: int) -> str:
    if isinstance(value, functools.partial):
        return stable_repr([value.func, list(value.args), value.keywords], depth)
    if isinstance(value, types.MethodType):
        return stable_repr([value.__func__, value.__self__], depth)
    closed = [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
    held = stable_repr([closed, value.__defaults__, value.__kwdefaults__], depth)
    return f"{value.__module__}.{value.__qualname__}{_code_hash(value.__code__)}{held}"


@functools.lru_cache(maxsize=1024)
def _code_hash(code: types.CodeType) -> str:
    """Return a hash that is equal for the same instructions, wherever they are defined."""
    parts: list[str] = [_code_hash(part) if isinstance(part, types.CodeType) else repr(part) for part in code.co_consts]
    return hashlib.sha256(repr((code.co_code, parts, code.co_names)).encode()).hexdigest()


def _slots(value: object) -> dict[str, object]:
    """Return the attributes of an object outside its __dict__, by name."""
    found: dict[str, object] = {}
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _class_contents(kind: type) -> list[tuple[str, str]]:
    """Return the code and constants of a user's class: one defined in a function can differ from call to call."""
    return [
        (name, stable_repr(value))
        for base in kind.__mro__
        if base.__module__.split(".")[0] not in ("torch", "builtins")
        for name, value in vars(base).items()
        if isinstance(value, types.FunctionType) or (isinstance(value, _PLAIN) and not name.startswith("__"))
    ]


def _is_empty(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a name that was never assigned
        return True
    return False


def _settings(module: nn.Module) -> list[tuple[str, object]]:
    hidden = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
    # Hooks are stored under numbers that torch increments for all modules of a process; only the hooks matter.
    return [
        (key, list(value.values()) if "_hooks" in key and isinstance(value, dict) else value)
        for key, value in vars(module).items()
        if key not in hidden
    ]


@contextmanager
def noted_dropout(template: nn.Module, notes: list[tuple[str, tuple[int, ...]]]) -> Iterator[None]:
    """Make prepared dropout the identity in the block and record the masks it would need."""
    prepared = [(name, module) for name, module in template.named_modules() if isinstance(module, PreparedDropout)]
    for name, module in prepared:
        module.requested = _NamedList(name, notes)
    try:
        yield
    finally:
        for _, module in prepared:
            module.requested = None


@final
class _NamedList(list[tuple[int, ...]]):
    """A list that forwards appended items with a name."""

    def __init__(self, name: str, notes: list[tuple[str, tuple[int, ...]]]) -> None:
        super().__init__()
        self._name, self._notes = name, notes

    def append(self, shape: tuple[int, ...]) -> None:
        self._notes.append((self._name, shape))
