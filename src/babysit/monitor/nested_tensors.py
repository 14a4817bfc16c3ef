"""Search for tensors in nested arguments and outputs of modules and operations."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from torch import Tensor, nn

# Outputs nest once or twice (a dataclass with a tuple of hidden states). Larger objects are attached data such as a
# cache, and searching all of it would take time.
DEEPEST: Final = 4
MOST: Final = 1000


def tensors_in(value: Any) -> list[Tensor]:
    """Return all tensors of an output, also in nested sequences, mappings and object attributes."""
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    waiting, visited = deque([(value, 0)]), 0
    while waiting and visited < MOST:
        one, depth = waiting.popleft()
        visited += 1
        if isinstance(one, Tensor):
            found.append(one)
        elif depth < DEEPEST:
            waiting.extend((inner, depth + 1) for inner in islice(_inside(one), MOST))
    return found


def given_in(arguments: Any, depth: int = 0) -> Iterator[Tensor]:
    """Yield all tensors among the arguments of an operation, also in lists."""
    if isinstance(arguments, Tensor):
        yield arguments
    elif isinstance(arguments, list | tuple) and depth < 2:
        for value in arguments:
            yield from given_in(value, depth + 1)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, list | tuple):
        return value
    return (value if isinstance(value, Mapping) else attributes_of(value)).values()


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object from its dictionary and slots only, so that no user property runs."""
    if value is None or isinstance(value, str | bytes | bool | int | float | type | nn.Module):
        return {}
    slots = (name for kind in type(value).__mro__ for name in _names(vars(kind).get("__slots__", ())))
    own = vars(value) if hasattr(value, "__dict__") else {}
    return {**own, **{name: getattr(value, name) for name in slots if hasattr(value, name)}}


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)
