"""Insertion and removal of a function mode at the bottom of the current thread's stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from babysit.monitor.graph_capture import GraphCapture

# Private in torch.overrides; the names are unchanged since 2.0, and no public function inserts a mode below the top.
_push_mode: Callable[[TorchFunctionMode], None] = torch.overrides._push_mode
_pop_mode: Callable[[], TorchFunctionMode] = torch.overrides._pop_mode
# The active transform of torch.func on this thread, or None; its tensors are wrappers without values.
inside_transform: Callable[[], object] = torch._C._functorch.peek_interpreter_stack


def push_to_bottom(mode: GraphCapture) -> None:
    """Insert a mode at the bottom of this thread's stack, so that a user's `with` always pops its own mode."""
    if not mode.inside:
        for other in (mode, *(other for other in _pop_all() if other is not mode)):
            _push_mode(other)


def remove(mode: GraphCapture) -> None:
    """Remove a mode from this thread's stack at any position."""
    if not mode.inside:
        for other in _pop_all():
            if other is not mode:
                _push_mode(other)


def _pop_all() -> list[TorchFunctionMode]:
    popped = []
    while torch._C._len_torch_function_stack() > 0:
        popped.append(_pop_mode())
    return popped[::-1]
