"""Nodes of the operation graph: results of operations, and their parents."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Final, final

from torch import Tensor
from torch.nn import Parameter

DATA, PARAMETER, MODEL = 0, 1, 2
# Operations that bypass function modes: an autograd.Function, a kernel, an in-place change by other code.
UNSEEN: Final = "unseen"


@final
class Node:
    """The result of one operation."""

    __slots__ = ("cut", "dim", "extra", "layer", "meeting", "op", "order", "parents", "place", "role", "shape", "size")

    def __init__(self, op: str, parents: tuple[Node, ...], role: int, order: int) -> None:
        self.op = op
        self.parents = parents
        self.role = role
        self.order = order
        self.layer = ""  # layer of the last weighted operation this comes from
        self.place = ""  # for a parameter, or a result computed from parameters only: its layer
        self.shape: tuple[int, ...] = ()
        self.dim: int | None = None
        self.size: int | None = None
        self.meeting: tuple[Tensor, Tensor] | None = None  # prediction and target, for a loss or a candidate
        self.cut = False  # computed with gradients enabled, but passes none: argmax, a sample, detached
        self.extra: dict[str, Any] = {}

    def ancestors(self, *, through_cuts: bool = True) -> Iterator[Node]:
        """Yield this node and its ancestors, latest first; without `through_cuts`, only those a gradient reaches."""
        seen = {id(self)}
        waiting = [(-self.order, self)]
        while waiting:
            _, node = heapq.heappop(waiting)
            yield node
            for parent in node.parents:
                if id(parent) not in seen and (through_cuts or not parent.cut):
                    seen.add(id(parent))
                    heapq.heappush(waiting, (-parent.order, parent))


def state_of(tensor: Tensor) -> tuple[int, str]:
    """Return version and grad_fn name of a tensor, which change when an in-place operation writes to it."""
    if type(tensor) not in (Tensor, Parameter) or tensor.is_inference():
        return 0, ""
    made_by = tensor.grad_fn
    return tensor._version, made_by.name() if made_by is not None else ""


def is_of_unknown_origin(node: Node) -> bool:
    """Check whether a node came from a model through operations that were not recorded."""
    return node.role == MODEL and not node.parents
