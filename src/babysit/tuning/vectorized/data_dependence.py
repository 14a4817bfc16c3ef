"""Detects forward passes that read tensor values, so that another batch may take another code path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Ways to read values that dispatch no operation.
_OUT: Final = frozenset({"numpy", "tolist", "__array__", "__dlpack__"})


@final
class DataDependentError(Exception):
    """A forward pass read the values of a tensor."""


def find_data_dependent_ops(model: nn.Module, x: Tensor) -> None:
    """Run the model. Raises DataDependentError at an operation that reads values or whose shape depends on them."""
    # If the model caught the exception, it is raised here.
    found: list[DataDependentError] = []
    with torch.enable_grad(), _Calls(found), _Operations(found):
        model(x)
    if found:
        raise found[0]


def _read(found: list[DataDependentError]) -> DataDependentError:
    found.append(DataDependentError())
    return found[-1]


@final
class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Intercepts every dispatched operation."""

    def __init__(self, found: list[DataDependentError]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self._found = found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation unless it reads values."""
        reads = torch.Tag.data_dependent_output in func.tags
        if torch.Tag.dynamic_output_shape in func.tags:
            reads = reads or func.overloadpacket is not torch.ops.aten.index or _by_mask(args[1])
        if reads:
            raise _read(self._found)
        return func(*args, **(kwargs or {}))


@final
class _Calls(TorchFunctionMode):
    """Intercepts every call of a torch function."""

    def __init__(self, found: list[DataDependentError]) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function unless it leaves torch."""
        if getattr(func, "__name__", "") in _OUT:
            raise _read(self._found)
        return func(*args, **(kwargs or {}))


def _by_mask(indices: Any) -> bool:
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)
