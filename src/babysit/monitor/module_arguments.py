"""Tensors among the arguments of a module call, by argument name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from torch import Tensor, nn

from babysit.monitor.nested_tensors import attributes_of

MOST_DEEP: Final = 2  # nesting depth of containers and objects that are searched
NEAREST_FRAMES: Final = 4  # distance from a hook to the frame of the module's call


def tensors_of(module: nn.Module, inputs: tuple[Any, ...]) -> list[tuple[str, Tensor]]:
    """Return the tensors that the module of a forward pre-hook is called with, by the parameter names of forward."""
    kind: Any = type(module)
    names = _parameters(kind)
    found: list[tuple[str, Tensor]] = []
    for place, value in enumerate(inputs):
        found += _inside(names[place] if place < len(names) else f"{len(names)}+{place}", value, MOST_DEEP)
    for name, value in _keywords(module).items():
        found += _inside(name, value, MOST_DEEP)
    return found


@lru_cache(maxsize=256)
def _parameters(kind: Any) -> tuple[str, ...]:
    try:
        parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(one.name for one in parameters if one.kind in positional)


def _keywords(module: nn.Module) -> Mapping[str, Any]:
    """Return the keyword arguments of the current call, which torch does not pass to global hooks."""
    frame = inspect.currentframe()
    for _ in range(NEAREST_FRAMES + 2):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            break
        if frame.f_code.co_filename == sys.modules[nn.Module.__module__].__file__:
            local = frame.f_locals
            given = local.get("kwargs") if local.get("self") is module else None
            return given if isinstance(given, dict) else {}
    return {}


def _inside(name: str, value: Any, deep: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif deep and isinstance(value, Mapping):
        for key, part in value.items():
            yield from _inside(f"{name}[{key!r}]", part, deep - 1)
    elif deep and isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from _inside(f"{name}[{place}]", part, deep - 1)
    elif deep:
        for attribute, part in attributes_of(value).items():
            yield from _inside(f"{name}.{attribute}", part, deep - 1)
