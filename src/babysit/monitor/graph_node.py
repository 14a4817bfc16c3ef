"""One result of one operation of a traced step, and where it came from."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Final, final

from torch import Tensor
from torch.nn import Parameter

DATA, PARAMETER, MODEL = 0, 1, 2
# Operations that no function mode sees: an autograd.Function, a kernel, a change in place by other code.
UNSEEN: Final = "unseen"


@final
class Node:
    """One result of one operation."""

    __slots__ = ("cut", "dim", "extra", "layer", "meeting", "op", "order", "parents", "place", "role", "shape", "size")

    def __init__(self, op: str, parents: tuple[Node, ...], role: int, order: int) -> None:
        self.op = op
        self.parents = parents
        self.role = role
        self.order = order
        self.layer = ""  # place of the last weighted operation this comes from
        self.place = ""  # for a parameter, or what is computed from parameters alone: its place
        self.shape: tuple[int, ...] = ()
        self.dim: int | None = None
        self.size: int | None = None
        self.meeting: tuple[Tensor, Tensor] | None = None  # prediction and target, for a loss or a candidate
        self.cut = False  # made with gradients on, and yet none passes: a choice, a sample, detached
        self.extra: dict[str, Any] = {}

    def ancestors(self, *, through_cuts: bool = True) -> Iterator[Node]:
        """This node and everything it comes from, latest first; only what a gradient reaches, if so asked."""
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
    """What changes when a tensor becomes the result of another operation: its version and how it was made."""
    if type(tensor) not in (Tensor, Parameter) or tensor.is_inference():
        return 0, ""
    made_by = tensor.grad_fn
    return tensor._version, made_by.name() if made_by is not None else ""


def is_of_unknown_origin(node: Node) -> bool:
    """Whether it came out of a model in a way that was not seen."""
    return node.role == MODEL and not node.parents
