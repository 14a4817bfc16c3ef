"""A function mode at the bottom of this thread's stack, put there and taken away at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from babysit.monitor.graph_capture import GraphCapture

# torch.overrides keeps these two private; their names have not changed since 2.0, and there is no public way to enter a
# mode anywhere but on top.
_push_mode: Callable[[TorchFunctionMode], None] = torch.overrides._push_mode
_pop_mode: Callable[[], TorchFunctionMode] = torch.overrides._pop_mode
# The transform of torch.func that runs on this thread, or None; its tensors stand for others and have no values.
inside_transform: Callable[[], object] = torch._C._functorch.peek_interpreter_stack


def push_to_bottom(mode: GraphCapture) -> None:
    """Put a mode at the bottom of this thread's stack, so that a user's own `with` always pops what it pushed."""
    if not mode.inside:
        for other in (mode, *(other for other in _pop_all() if other is not mode)):
            _push_mode(other)


def remove(mode: GraphCapture) -> None:
    """Take a mode out of this thread's stack, wherever it is."""
    if not mode.inside:
        for other in _pop_all():
            if other is not mode:
                _push_mode(other)


def _pop_all() -> list[TorchFunctionMode]:
    popped = []
    while torch._C._len_torch_function_stack() > 0:
        popped.append(_pop_mode())
    return popped[::-1]
