"""Loss of one optimizer step, combined from the scalars that `backward` was called on.

The result equals the loss of the same batch in one piece. Different losses are added. Several backward passes of the
same loss are micro-batches, whose combination depends on their scaling: unscaled, divided by their number, or
normalized by the size of the full batch. In traced steps the operations between the loss function and the scalar show
the scaling; in other steps, a division by the number of micro-batches does.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from enum import Enum
from typing import Final, NamedTuple, final

from torch import Tensor

from babysit.monitor.graph_node import Node
from babysit.monitor.loss_scale import factor_of, items_of, only_loss
from babysit.monitor.objective import head_of, loss_nodes

Head = tuple[str, str]  # a loss function, and the layer whose output it is computed from
# Relative tolerance for equal factors, which are quotients of two float32 numbers.
EXACT: Final = 1e-3
# Number of autograd nodes that distinguish losses: scaling, reduction, loss function and the last layer.
SIGNATURE: Final = 6


class Evidence(NamedTuple):
    """The traced facts about one backward pass."""

    heads: tuple[Head, ...]  # the losses in the scalar
    factor: float | None  # ratio of the scalar to the mean of its only loss (loss_scale.py)
    items: int  # number of values in that mean
    summed: bool  # the reduction of the loss function is "sum"
    again: bool  # an earlier backward pass of this step used the same forward pass


def evidence_of(loss: Node, value: Tensor, *, again: bool) -> Evidence:
    """Describe the relation of the scalar that backward is called on to its losses."""
    nodes = loss_nodes(loss)
    heads = tuple(head_of(inner) for inner, _ in nodes)
    if (inner := only_loss(loss)) is None:
        return Evidence(heads, None, 0, summed=False, again=again)
    factor, items = factor_of(loss, inner, float(value.detach())), items_of(inner)
    summed = inner.extra.get("reduction") == "sum"
    return Evidence(heads, factor, items, summed=summed, again=again)


class Part(NamedTuple):
    """One backward pass."""

    value: float | Tensor
    signature: tuple[str, ...] = ()
    divisor: float = 1.0
    evidence: Evidence | None = None


class Mode(Enum):
    """Relation of the scalars of micro-batches to the loss of the full batch."""

    MEAN = "mean"  # each is the loss of its own micro-batch
    SUM = "sum"  # each is its share of the full loss
    DIVIDED = "divided"  # each was divided by the usual number of micro-batches, maybe not that of this step


def divided_by(loss: Tensor) -> float:
    """Return the integer that a script divides a loss by before backward; 1 without a division."""
    last = loss.grad_fn
    factor = getattr(last, "_saved_other", None)
    if not isinstance(factor, Tensor) or factor.dim() > 0 or not factor.is_cpu:
        return 1.0
    name, value = type(last).__name__, float(factor)
    number = value if name == "DivBackward0" else 1 / value if name == "MulBackward0" and value else 1.0
    return float(round(number)) if number >= 2 and abs(number - round(number)) < 1e-3 * number else 1.0


def signature_of(loss: Tensor) -> tuple[str, ...]:
    """Return the autograd names of the last operations that produced a scalar."""
    names: list[str] = []
    node = loss.grad_fn
    while node is not None and len(names) < SIGNATURE:
        names.append(type(node).__name__)
        node = next((following for following, _ in node.next_functions if following is not None), None)
    return tuple(names)


@final
class MicroBatches:
    """Infers the structure of a step's backward passes from traced steps, and combines the losses of every step."""

    def __init__(self, scales: dict[Head, float]) -> None:
        self._scales = scales  # ratio of the curve to the mean of a loss; filled here
        self._counts: set[int] = set()  # numbers of parts per loss seen so far
        self._groups: dict[int, tuple[Hashable, ...]] = {}  # the loss of each part, by the number of parts
        self._known: dict[tuple[str, ...], Hashable] = {}  # the same by signature
        self._modes: dict[Hashable, Mode] = {}

    def join(self, parts: list[Part]) -> float | Tensor:
        """Return the loss of a step."""
        if len(parts) > 1 and parts[0].evidence is None and not parts[0].signature:  # it was assumed to be the only one
            parts = [parts[1]._replace(value=parts[0].value, evidence=None), *parts[1:]]
        groups: dict[Hashable, list[Part]] = {}
        for name, part in zip(self._named(parts), parts, strict=True):
            groups.setdefault(name, []).append(part)
        self._counts.update(len(group) for group in groups.values())
        values = [self._joined(name, group) for name, group in groups.items()]
        return sum(values[1:], start=values[0])

    def _named(self, parts: list[Part]) -> tuple[Hashable, ...]:
        """Return the loss that each part belongs to."""
        usual = self._groups.get(len(parts), ())
        names: list[Hashable] = []
        for place, part in enumerate(parts):
            seen = part.evidence
            if seen is not None:
                name: Hashable = seen.heads or part.signature
                # Losses of the same forward pass are added, even if they use the same function.
                names.append((name, place) if seen.again else name)
            else:
                names.append(usual[place] if usual else self._known.get(part.signature, part.signature))
        if any(part.evidence is not None for part in parts):
            self._groups[len(parts)] = tuple(names)
            self._known.update({part.signature: name for name, part in zip(names, parts, strict=True)})
        return tuple(names)

    def _joined(self, name: Hashable, parts: list[Part]) -> float | Tensor:
        mode = self._mode(name, parts)
        values = [part.value * part.divisor if mode is Mode.DIVIDED else part.value for part in parts]
        total = sum(values[1:], start=values[0])
        self._note_scale(mode, parts)
        return total if mode is Mode.SUM or len(parts) == 1 else total / len(parts)

    def _mode(self, name: Hashable, parts: list[Part]) -> Mode:
        factors = [part.evidence.factor for part in parts if part.evidence is not None and part.evidence.factor]
        divided = any(part.divisor > 1 and int(part.divisor) in self._counts for part in parts)
        if len(factors) == len(parts) > 1:
            mode = self._modes[name] = _by_factors(parts, factors, divided=divided)
            return mode
        known = self._modes.get(name)
        if known is Mode.DIVIDED or known is None:
            return Mode.DIVIDED if divided else Mode.MEAN
        return known

    def _note_scale(self, mode: Mode, parts: list[Part]) -> None:
        seen = [part.evidence for part in parts if part.evidence is not None]
        if len(seen) != len(parts) or any(one.factor is None or len(one.heads) != 1 for one in seen):
            return
        factors = [
            (one.factor or 0.0) * (part.divisor if mode is Mode.DIVIDED else 1.0)
            for one, part in zip(seen, parts, strict=True)
        ]
        scale = sum(factors) if mode is Mode.SUM else sum(factors) / len(factors)
        self._scales.setdefault(seen[0].heads[0], 1.0 if _near(scale, 1.0) else scale)


def _by_factors(parts: list[Part], factors: list[float], *, divided: bool) -> Mode:
    seen = [part.evidence for part in parts if part.evidence is not None]
    if all(_near(factor, 1.0) for factor in factors):
        return Mode.MEAN
    if divided:
        return Mode.DIVIDED
    by_item = [factor / max(1, one.items) for factor, one in zip(factors, seen, strict=True)]
    # A sum divided by the same number in every part: the size of the full batch.
    one_number = all(_near(one, by_item[0]) for one in by_item) and not all(_near(one, factors[0]) for one in factors)
    total = sum(factors)
    if all(one.summed for one in seen):
        # Divided by its own size or by that of the full batch? Scripts may count items slightly differently from the
        # loss function (labels before they are shifted), so the ratio closer to 1 decides.
        nearer = abs(math.log(total)) < abs(math.log(total / len(parts)))
        return Mode.SUM if nearer or one_number or all(_near(one, 1.0) for one in by_item) else Mode.MEAN
    return Mode.SUM if _near(total, 1.0) else Mode.MEAN


def _near(value: float, other: float) -> bool:
    return abs(value - other) <= EXACT * abs(other)
