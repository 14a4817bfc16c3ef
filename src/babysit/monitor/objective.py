"""Inference of objective and task from the scalar that `backward` was called on."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor

from babysit.metrics.values import summarize, target_kind, to_numpy
from babysit.monitor.graph_node import DATA, MODEL, Node
from babysit.monitor.operations import LOSSES, TRANSPARENT
from babysit.records.arrays import Array
from babysit.records.model_summary import Objective, Op, TargetKind, Task, ValueSummary

INDEX_LOSSES: Final = frozenset({"cross_entropy", "nll_loss", "multi_margin_loss"})
BINARY_LOSSES: Final = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss"})
# Operations of a mean or sum over elements and of additional terms.
PLAIN: Final = TRANSPARENT | {
    "mean", "sum", "div", "mul", "add", "sub", "rsub", "neg", "getitem", "masked_select", "index_select", "nanmean",
    "detach", "item", "broadcast_to", "model",
}  # fmt: skip
DISTANCE: Final = frozenset({"pow", "abs", "sqrt", "norm"})
HINGE: Final = frozenset({"clamp", "relu", "pow", "max", "maximum"})
SIDES: Final = frozenset({TargetKind.ZERO_ONE, TargetKind.INDICES, TargetKind.REAL})
LOGARITHMS: Final = frozenset({"log", "log_softmax", "logsigmoid"})
LABELS: Final = frozenset({TargetKind.ONE_HOT, TargetKind.ZERO_ONE, TargetKind.PROBABILITIES, TargetKind.UNIT_RANGE})
MOST_CLASSES: Final = 10_000
# Integer targets with at most this many values and a squared error are more likely classes than quantities.
FEW_VALUES: Final = 20


def loss_nodes(loss: Node) -> list[tuple[Node, float]]:
    """Return the losses in a scalar with the sign of their contribution, nearest first."""
    reached = list(loss.ancestors(through_cuts=False))
    found = [(node, _sign(loss, node)) for node in reached if node.op in LOSSES and node.meeting is not None]
    if found:
        return found
    meeting = next((node for node in reached if node.meeting is not None and _fits(node)), None)
    return [(meeting, _sign(loss, meeting))] if meeting is not None else []


def _fits(node: Node) -> bool:
    """Check whether prediction and target of a hand-written loss match: same length, or one label per row."""
    if node.meeting is None:
        return False
    prediction, target = node.meeting
    if prediction.numel() == 0 or target.numel() == 0:
        return False
    if prediction.dim() == 0 or target.dim() == 0:
        return prediction.numel() == target.numel()
    return prediction.shape[0] == target.shape[0] or prediction.shape == target.shape


def _sign(loss: Node, inner: Node) -> float:
    """Return -1 if an inner loss enters a scalar negated, subtracted or times a negative number; else 1."""
    signs = {id(loss): 1.0}
    for node in loss.ancestors():  # latest first, so the consumers of a node come before it
        sign = signs[id(node)]
        if node is inner:
            return sign
        flipped = node.op in {"neg", "rsub"} or node.extra.get("negative", False)
        for place, parent in enumerate(node.parents):
            turned = flipped or (node.op == "sub" and place == 1)
            signs.setdefault(id(parent), -sign if turned else sign)
    return 1.0


def head_of(node: Node) -> tuple[str, str]:
    """Return the key of a loss: its function and the layer whose output it is computed from."""
    return node.op, output_layer(node)


def counted_targets(node: Node) -> Tensor:
    """Return the targets of a loss without ignored ones, such as padding."""
    target = node.meeting[1] if node.meeting is not None else torch.empty(0)
    return target[target != node.extra["ignored"]] if "ignored" in node.extra else target


def describe(loss: Node, node: Node, sign: float) -> Objective:
    """Describe a loss: its operations, prediction, target, and the inferred task."""
    prediction_values, target_values = node.meeting or (None, None)
    full_target = target_values
    if target_values is not None:
        counted = counted_targets(node)
        target_values = counted if counted.numel() else target_values
    prediction = summarize(prediction_values) if prediction_values is not None else ValueSummary()
    target = summarize(target_values) if target_values is not None else ValueSummary()
    if full_target is not None:
        target = msgspec.structs.replace(target, shape=tuple(full_target.shape))
    kind = target_kind(target_values, target) if target_values is not None else TargetKind.NONE
    output_ops, name, reduction = _chain(node), node.op, str(node.extra.get("reduction", "mean"))
    if node.op not in LOSSES:
        # Boolean factors are masks (the pairs of a metric loss), not labels.
        labels = TargetKind.NONE if target.dtype == "bool" else kind
        name, reduction, sign = _by_hand(loss, node, labels, sign)
    exclusive = name not in BINARY_LOSSES or kind is TargetKind.ONE_HOT  # its classes are not separate values
    scale = None if node.op in LOSSES or exclusive else _values_summed(between(loss, node))
    elementwise = name not in INDEX_LOSSES and kind is not TargetKind.INDICES
    objective = Objective(
        loss=name,
        reduction=reduction,
        scale=scale,
        output_ops=output_ops,
        prediction=prediction,
        target=target,
        target_kind=kind,
        class_counts=class_counts(target_values, kind),
        # A hand-written likelihood has its classes on the axis that the labels index, usually the last.
        outputs=_outputs(name if node.op in LOSSES else "", prediction.shape),
        broadcast=elementwise and prediction.shape != target.shape and 0 not in prediction.shape + target.shape,
        sign=sign,
        label_smoothing=float(node.extra.get("label_smoothing", 0.0)),
        class_weights=bool(node.extra.get("weighted_classes", False)),
        log_input=node.extra.get("log_input"),
        moving_target=bool(node.extra.get("moving_target", False)),
    )
    task, confidence = infer_task(objective, same_as_input=bool(node.extra.get("reconstruction", False)))
    return msgspec.structs.replace(objective, task=task, confidence=confidence)


def _chain(node: Node) -> tuple[Op, ...]:
    """Return the operations between the last layer and the loss, in execution order."""
    found: list[Op] = []
    current = _main_parent(node)
    while current is not None and not current.extra.get("weighted"):
        if current.op not in TRANSPARENT and current.op not in {"model", "data", "parameter"}:
            found.append(Op(name=current.op, dim=current.dim, size=current.size, value=current.extra.get("value")))
        current = _main_parent(current)
    return tuple(reversed(found))


def _main_parent(node: Node) -> Node | None:
    model = [parent for parent in node.parents if parent.role == MODEL]
    return max(model, key=lambda parent: parent.order) if model else None


def output_layer(node: Node) -> str:
    """Return the layer whose output the loss is computed from."""
    current: Node | None = node
    while current is not None and not current.extra.get("weighted"):
        following = _main_parent(current)
        if following is None:
            return current.layer
        current = following
    return current.layer if current is not None else ""


def between(loss: Node, inner: Node) -> list[Node]:
    """Return the nodes between the operation on prediction and target and the scalar, both excluded."""
    later = sorted((node for node in loss.ancestors() if node.order > inner.order), key=lambda node: node.order)
    reached, path = {id(inner)}, []
    for node in later:
        if any(id(parent) in reached for parent in node.parents):
            reached.add(id(node))
            path.append(node)
    return path


def _by_hand(loss: Node, node: Node, kind: TargetKind, sign: float) -> tuple[str, str, float]:
    """Return name, reduction and sign of a hand-written loss; the minus of a likelihood does not count.

    Only the operations from the pair of prediction and target to the scalar count; any unusual one makes it "custom".
    """
    path = between(loss, node)
    after, before = {step.op for step in path}, {operation.name for operation in _chain(node)}
    # A sum followed by a division is a mean.
    reduction = "sum" if "sum" in after and not {"mean", "div"} & after else "mean"
    logarithm = bool(LOGARITHMS & (after | before))
    if distance := distance_by_hand(loss, node):
        return distance, reduction, sign
    # 1 - label * score, clamped at zero.
    if node.op == "mul" and kind in SIDES and {"clamp", "relu"} & after and after <= HINGE | PLAIN:
        return "hinge_loss", reduction, sign
    # An entry selected by its label, or all entries times one-hot labels. With another factor (a reward, an advantage)
    # it is no longer a likelihood of the target.
    weighted = any(
        step.op == "mul" and any(parent.role == DATA or parent.cut for parent in step.parents) for step in path
    )
    picked = node.op in {"gather", "getitem", "index_select"} and kind is TargetKind.INDICES and not weighted
    # log(p) together with log(1 - p) is a binary cross-entropy for any targets.
    multiplied = node.op == "mul" and (kind in LABELS or {"log", "rsub"} <= before)
    if logarithm and (picked or multiplied) and after <= LOGARITHMS | PLAIN:
        # The minus of a negative log-likelihood is part of the loss.
        binary = not {"softmax", "log_softmax"} & before and node.op == "mul"
        return ("binary_cross_entropy" if binary else "nll_loss"), reduction, -sign
    return "custom", reduction, sign


def distance_by_hand(loss: Node, node: Node) -> str:
    """Return the name of a hand-written squared or absolute error; "" for any other loss."""
    path = between(loss, node)
    after, before = {step.op for step in path}, {operation.name for operation in _chain(node)}
    if node.op not in {"sub", "rsub"} or LOGARITHMS & (after | before) or not after <= DISTANCE | PLAIN:
        return ""
    if _rescaled(path, node):
        return ""
    return "mse_loss" if "pow" in after or _squared(path) else "l1_loss" if "abs" in after else ""


def _values_summed(path: list[Node]) -> float | None:
    """Return the number of values that a hand-written loss sums; None if the sum is divided afterwards."""
    if "div" in {step.op for step in path}:
        return None
    sums = (step for step in path if step.op == "sum" and 0 not in step.shape)
    found = 1.0
    for step in sums:
        found *= max(float(math.prod(one.shape)) for one in step.parents) / float(math.prod(step.shape))
    return found


def _rescaled(path: list[Node], inner: Node) -> bool:
    """Check whether a model output or a parameter scales the errors, as the std in a likelihood does."""
    known = {id(inner), *(id(step) for step in path)}
    return any(
        id(parent) not in known and parent.role != DATA and not parent.cut
        for step in path
        if step.op in {"mul", "div"}
        for parent in step.parents
    )


def _squared(path: list[Node]) -> bool:
    """Check whether a difference is multiplied with itself."""
    return any(step.op == "mul" and len(step.parents) == 2 and step.parents[0] is step.parents[1] for step in path)


def _outputs(name: str, shape: tuple[int, ...]) -> int:
    """Return the number of output units: the class axis for class losses, the last axis otherwise."""
    if not shape:
        return 1
    if name in INDEX_LOSSES and len(shape) > 1:
        return shape[1]
    return shape[-1] if len(shape) > 1 else 1


def class_counts(target: Tensor | None, kind: TargetKind) -> tuple[int, ...]:
    """Count the occurrences of each class in a target; () if it has no class labels."""
    if target is None:
        return ()
    if kind is TargetKind.ONE_HOT:
        return tuple(int(count) for count in to_numpy(target.reshape(-1, target.shape[-1])).sum(0))
    if kind in {TargetKind.INDICES, TargetKind.ZERO_ONE} and (target.dim() < 2 or target.shape[-1] == 1):
        labels: Array = to_numpy(target.reshape(-1))
        labels = labels[(labels >= 0) & (labels < MOST_CLASSES)].astype("int64")
        return tuple(int(count) for count in np.bincount(labels)) if len(labels) else ()
    return ()


def infer_task(objective: Objective, *, same_as_input: bool = False) -> tuple[Task, float]:
    """Infer the task and its confidence from target values, loss and output width."""
    kind, target = objective.target_kind, objective.target
    if same_as_input:
        return Task.RECONSTRUCTION, 0.95
    if objective.loss in INDEX_LOSSES and kind is TargetKind.INDICES:
        sequence = len(objective.prediction.shape) > 2
        return (Task.SEQUENCE, 0.8) if sequence else (Task.CLASSES, 0.95)
    if kind is TargetKind.ONE_HOT or (kind is TargetKind.PROBABILITIES and objective.loss in INDEX_LOSSES):
        return Task.CLASSES, 0.9
    if kind is TargetKind.ZERO_ONE:
        one_column = len(target.shape) < 2 or target.shape[-1] == 1
        return (Task.BINARY, 0.85) if one_column else (Task.MULTILABEL, 0.8)
    if kind is TargetKind.INDICES:
        classes = target.distinct <= FEW_VALUES and target.high < FEW_VALUES
        return (Task.CLASSES, 0.6) if classes else (Task.REGRESSION, 0.5)
    if kind is TargetKind.REAL:
        few = target.whole and target.distinct <= FEW_VALUES and target.low >= 0 and target.high < FEW_VALUES
        return (Task.CLASSES, 0.5) if few and target.distinct > 1 else (Task.REGRESSION, 0.8)
    if kind in {TargetKind.UNIT_RANGE, TargetKind.PROBABILITIES}:
        return Task.REGRESSION, 0.6
    return Task.UNKNOWN, 0.0


def accuracy(node: Node) -> Tensor | None:
    """Return the accuracy on a training batch, still on the device; None if it is not defined."""
    if node.meeting is None:
        return None
    prediction, target = node.meeting
    if node.op in INDEX_LOSSES and prediction.dim() > 1 and not target.is_floating_point():
        right = (prediction.argmax(1) == target).float()
        counted = (target != node.extra["ignored"]).float() if "ignored" in node.extra else torch.ones_like(right)
        return (right * counted).sum() / counted.sum()
    if node.op in INDEX_LOSSES and prediction.shape == target.shape and prediction.dim() > 1:
        return (prediction.argmax(1) == target.argmax(1)).float().mean()
    if node.op in BINARY_LOSSES and prediction.shape == target.shape:
        limit = 0.0 if node.op != "binary_cross_entropy" else 0.5
        share = ((prediction > limit) == (target > 0.5)).float().mean()
        return torch.where(((target == 0) | (target == 1)).all(), share, torch.nan)
    if node.op == "mse_loss" and prediction.dim() == 2 and prediction.shape == target.shape and target.shape[1] > 1:
        hot = (target.sum(1) == 1) & (target.amax(1) == 1) & (target.amin(1) == 0)
        right = (prediction.argmax(1) == target.argmax(1)).float()
        return torch.where(hot.all(), right.mean(), torch.nan)
    return None
