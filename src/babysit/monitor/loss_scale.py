"""Scale factor between the mean of a loss function and the scalar that `backward` is called on."""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor

from babysit.monitor.graph_node import DATA, Node
from babysit.monitor.loss_terms import loss_terms
from babysit.monitor.objective import INDEX_LOSSES, between, distance_by_hand, head_of, loss_nodes
from babysit.monitor.operations import LOSSES, TRANSPARENT

# Operations that keep a scalar proportional to the mean of a loss if all other operands are scalars.
PROPORTIONAL: Final = TRANSPARENT | {"div", "mul", "neg", "sum", "mean", "detach"}
# Operations that drop values of a loss without changing the others.
CHOOSING: Final = frozenset({"getitem", "masked_select", "index_select", "nanmean"})
ADDING: Final = frozenset({"add", "sub", "rsub"})
# Losses with one value per row, regardless of its width.
OF_ROWS: Final = frozenset({
    "ctc_loss", "triplet_margin_loss", "cosine_embedding_loss", "margin_ranking_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
})  # fmt: skip


def items_of(node: Node) -> int:
    """Return the number of values that a loss function averages over, without ignored targets."""
    if node.meeting is None:
        return 0
    if "items" in node.extra:
        return int(node.extra["items"])
    prediction, target = node.meeting
    if node.op in OF_ROWS:
        return target.shape[0] if target.dim() else 1
    if node.op not in INDEX_LOSSES:
        return max(prediction.numel(), target.numel())
    if prediction.shape == target.shape and target.is_floating_point():  # class probabilities
        return target.numel() // max(1, prediction.shape[1 if prediction.dim() > 1 else 0])
    return int((target != node.extra["ignored"]).sum()) if "ignored" in node.extra else target.numel()


def mean_of(node: Node) -> float | None:
    """Return the loss per item, independent of `reduction`; None without items. Synchronizes the device."""
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
    """Return the ratio of one loss function's contribution to a scalar to the mean of that loss.

    1 for a mean, or a sum divided by the number of items; the number of items for a plain sum; 0.25 for a mean divided
    by four. None if the scalar is not proportional to the mean.

    Args:
        loss: the node that backward is called on.
        inner: the node of the loss function.
        value: the value of `loss`.
    """
    if inner.op not in LOSSES:
        mean = mean_of(inner)
        return abs(value / mean) if mean and not is_composite(loss, inner) else None
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


def is_composite(loss: Node, inner: Node) -> bool:
    """Check whether a scalar is more than a positive multiple of one loss.

    True if other terms are added, or if values of the loss are multiplied by possibly negative (an advantage) or
    learned (a variance) weights. Several losses of one function and output (time steps) count as one. Synchronizes
    the device.
    """
    nodes = [node for node, _ in loss_nodes(loss)]
    if any(head_of(node) != head_of(inner) for node in nodes):
        return True
    ways = [{id(node), *(id(step) for step in between(loss, node))} for node in nodes]
    way, ends = set().union(*ways), {id(node) for node in nodes}
    steps = [node for node in loss.ancestors() if id(node) in way - ends]
    if inner.op in LOSSES:
        return any(_adds_or_weighs(step, way) for step in steps)
    summed = any(step.op in ADDING and math.prod(step.shape) == 1 and _strangers(step, way) for step in steps)
    return summed or any(kind != "data" for kind, _ in loss_terms(loss))


def _strangers(step: Node, way: set[int]) -> list[Node]:
    return [parent for parent in step.parents if id(parent) not in way and parent.role != DATA]


def _adds_or_weighs(step: Node, way: set[int]) -> bool:
    """Check whether an operation between a loss function and the scalar does more than scale, reduce or select."""
    if step.op in CHOOSING:
        return False
    others = [parent for parent in step.parents if id(parent) not in way]
    if step.op in ADDING:
        shifts = [part for parent, part, _ in step.extra.get("summands", ()) if parent in others]
        subtracted = step.op != "add" and len(step.parents) > 1
        return subtracted or bool(_strangers(step, way)) or any(float(part) != 0 for part in shifts)
    if step.op not in PROPORTIONAL or _strangers(step, way):
        return True
    weights = step.meeting[1] if step.meeting is not None and step.op == "mul" else None
    return weights is not None and weights.numel() > 0 and bool((weights < 0).any())


def reduction_of(reduction: str, scale: float | None) -> str:
    """Return the effective reduction: a sum divided by at least the number of values is a mean."""
    divided = scale is not None and (scale == 1 or (reduction == "sum" and scale < 1))
    return "mean" if divided else reduction


def only_loss(loss: Node) -> Node | None:
    """Return the only loss in a scalar, if it is a loss function or a hand-written distance; else None."""
    nodes = loss_nodes(loss)
    if len(nodes) != 1:
        return None
    inner = nodes[0][0]
    return inner if inner.op in LOSSES or note_distance(loss, inner) else None


def note_distance(loss: Node, inner: Node) -> bool:
    """Record the total of a hand-written squared or absolute error on its node, as for a loss function."""
    name = distance_by_hand(loss, inner)
    if not name or inner.meeting is None:
        return False
    prediction, target = inner.meeting
    errors = (prediction - target).double()
    inner.extra["total"] = (errors.square() if name == "mse_loss" else errors.abs()).sum()
    inner.extra["items"] = errors.numel()
    inner.extra["reduction"] = "sum"
    return True
