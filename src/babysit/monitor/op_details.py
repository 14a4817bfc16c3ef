"""Details of an operation derived from its arguments."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from babysit.monitor.graph_node import DATA, MODEL, PARAMETER, Node
from babysit.monitor.operations import ACTIVATIONS, TRANSPARENT


def effective_role(parents: tuple[Node, ...]) -> int:
    """Return the role of a result computed from these parents."""
    roles = {parent.role for parent in parents}
    if MODEL in roles or (PARAMETER in roles and DATA in roles):
        return MODEL
    return PARAMETER if PARAMETER in roles else DATA


def note_summands(node: Node, given: list[Tensor]) -> None:
    """Record the summands of a sum with their means; a mean over samples inherits them."""
    alike = all(one.shape == given[0].shape and one.dim() < 2 and one.is_floating_point() for one in given)
    if node.op in {"add", "sub"} and len(given) > 1 and alike:
        parts = [tensor.detach().mean() for tensor in given]
        signs = [1.0, *(-1.0 if node.op == "sub" else 1.0 for _ in parts[1:])]
        node.extra["summands"] = tuple(zip(node.parents, parts, signs, strict=True))
    elif node.op == "mean" and "summands" in node.parents[0].extra:
        node.extra["summands"] = node.parents[0].extra["summands"]


def describe_loss(node: Node, given: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Record the arguments of a loss function and its reduction."""
    prediction = kwargs.get("input", args[0] if args else None)
    target = kwargs.get("target", args[1] if len(args) > 1 else None)
    if isinstance(prediction, Tensor) and isinstance(target, Tensor):
        node.meeting = (prediction.detach(), target.detach())
    node.extra["moving_target"] = any(
        one is target and parent.role == MODEL for one, parent in zip(given, node.parents, strict=False)
    )
    ignored = kwargs.get("ignore_index", -100) if node.op in {"cross_entropy", "nll_loss"} else None
    if node.meeting is not None and ignored is not None and not node.meeting[1].is_floating_point():
        node.extra["ignored"] = ignored
    if node.op == "poisson_nll_loss":
        node.extra["log_input"] = bool(kwargs.get("log_input", args[2] if len(args) > 2 else True))
    node.extra["reduction"] = kwargs.get("reduction", "mean")
    node.extra["label_smoothing"] = float(kwargs.get("label_smoothing", 0.0) or 0.0)
    node.extra["weighted_classes"] = kwargs.get("weight") is not None or kwargs.get("pos_weight") is not None


def axis(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> int | None:
    """Return the axis of a softmax, including the legacy default without `dim`."""
    if name not in {"softmax", "log_softmax"}:
        return None
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if not isinstance(dim, int):
        dim = 0 if result.dim() in {0, 1, 3} else 1
    return dim % max(1, result.dim())


def source_of(node: Node | None) -> tuple[str, bool]:
    """Return the layer that a tensor is the output of, and whether an activation was applied to it."""
    through = False
    while node is not None and not node.extra.get("weighted"):
        joins = node.op in {"cat", "stack"} and len({id(parent) for parent in node.parents}) > 1
        if joins or (node.op not in TRANSPARENT and node.op not in ACTIVATIONS and "dropout" not in node.op):
            return "", through
        through |= node.op in ACTIVATIONS
        node = next((parent for parent in node.parents if parent.layer), None)
    return (node.layer if node is not None else ""), through
