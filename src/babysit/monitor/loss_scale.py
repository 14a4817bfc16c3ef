"""What lies between a loss function and the scalar of a step: sums, counts and factors, as one number."""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor

from babysit.monitor.graph_node import Node
from babysit.monitor.objective import INDEX_LOSSES, between
from babysit.monitor.operations import LOSSES, TRANSPARENT

# What keeps a scalar proportional to the mean of a loss, as long as all else that enters is one number.
PROPORTIONAL: Final = TRANSPARENT | {"div", "mul", "neg", "sum", "mean", "detach"}
# These give one value for each row, however wide the row is.
OF_ROWS: Final = frozenset({
    "ctc_loss", "triplet_margin_loss", "cosine_embedding_loss", "margin_ranking_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
})  # fmt: skip


def items_of(node: Node) -> int:
    """How many values a loss function takes its mean over; targets that are ignored do not count."""
    if node.meeting is None:
        return 0
    prediction, target = node.meeting
    if node.op in OF_ROWS:
        return target.shape[0] if target.dim() else 1
    if node.op not in INDEX_LOSSES:
        return max(prediction.numel(), target.numel())
    if prediction.shape == target.shape and target.is_floating_point():  # a probability for every class
        return target.numel() // max(1, prediction.shape[1 if prediction.dim() > 1 else 0])
    return int((target != node.extra["ignored"]).sum()) if "ignored" in node.extra else target.numel()


def mean_of(node: Node) -> float | None:
    """The loss by item, whatever its `reduction`; None when there is no item. Reads the device."""
    total: Tensor | None = node.extra.get("total")
    items = items_of(node)
    if total is None or not items or node.meeting is None:
        return None
    reduction, value = node.extra["reduction"], float(total)
    if reduction == "mean":
        return value
    if reduction == "batchmean":
        return value * node.meeting[0].shape[0] / items
    return value / items


def factor_of(loss: Node, inner: Node, value: float) -> float | None:
    """By how much the part of a scalar that comes from one loss function is a multiple of that loss's mean.

    1 for a mean, and for a sum that is divided by the number of its items; the number of items for a plain sum; a
    quarter for a mean that is divided by four. None when the scalar is not proportional to the mean.

    Args:
        loss: what backward is called on.
        inner: the loss function's own node.
        value: the value of `loss`.
    """
    way = {id(inner), *(id(node) for node in between(loss, inner))}
    node, found = loss, 1.0
    while node is not inner:
        following = [parent for parent in node.parents if id(parent) in way]
        if len(following) != 1:
            return None
        if summands := node.extra.get("summands"):
            whole = sum(sign * float(part) for _, part, sign in summands)
            entering = [float(part) for parent, part, _ in summands if parent is following[0]]
            if len(entering) != 1 or whole == 0:
                return None
            found, value = found * value / whole, entering[0]
        elif node.op not in PROPORTIONAL or any(
            math.prod(parent.shape) != 1 for parent in node.parents if parent is not following[0]
        ):
            return None
        node = following[0]
    mean = mean_of(inner)
    if not mean or not math.isfinite(mean) or not math.isfinite(value):
        return None
    return abs(found * value / mean)


def reduction_of(reduction: str, scale: float | None) -> str:
    """How the curve comes from the loss's values: a sum that is divided by their number, or by more, is a mean."""
    divided = scale is not None and (scale == 1 or (reduction == "sum" and scale < 1))
    return "mean" if divided else reduction


def only_loss(nodes: list[tuple[Node, float]]) -> Node | None:
    """The one loss function that a scalar is made of, or None."""
    return nodes[0][0] if len(nodes) == 1 and nodes[0][0].op in LOSSES else None
