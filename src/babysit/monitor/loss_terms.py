"""Summands of a loss: the data term, penalties on weights, penalties on outputs."""

from __future__ import annotations

from babysit.monitor.graph_node import MODEL, Node
from babysit.monitor.operations import LOSSES
from babysit.records.model_summary import Term

# A sum with more summands is one loss over many parts (time steps, boxes), not a sum of different terms.
MOST_TERMS = 8
REDUCING = {"mean", "sum", "mul", "div", "neg"}


def loss_terms(loss: Node) -> list[tuple[str, float]]:
    """Return kind and value of each summand of a scalar; [] without or with too many. Synchronizes the device."""
    found: list[tuple[Node, float]] = []
    waiting = [(loss, 0.0, 1.0)]
    while waiting:
        node, value, sign = waiting.pop(0)
        inner = [(part, sign * own * float(size), sign * own) for part, size, own in node.extra.get("summands", ())]
        if inner:
            waiting = inner + waiting
        elif node.parents and node is not loss:
            found.append((node, value))
        if len(found) + len(waiting) > MOST_TERMS:
            return []
    return [(_kind(node, found), value) for node, value in found] if len(found) > 1 else []


def updated(known: tuple[Term, ...], seen: list[tuple[str, float]]) -> tuple[Term, ...]:
    """Return the terms with their latest values; unchanged if the summands differ from the first ones."""
    if not known:
        return tuple(Term(kind=kind, first=value, last=value) for kind, value in seen)
    if [term.kind for term in known] != [kind for kind, _ in seen]:
        return known
    return tuple(
        Term(kind=term.kind, first=term.first, last=value) for term, (_, value) in zip(known, seen, strict=True)
    )


def _kind(node: Node, found: list[tuple[Node, float]]) -> str:
    if node.role != MODEL:
        return "weights"
    if _meets_data(node) or any(one.op == "logsumexp" for one in node.ancestors(through_cuts=False)):
        return "data"  # logsumexp is the normalizer of a hand-written likelihood
    # A tensor that also enters the data term belongs to it, as the std in a likelihood does.
    base = _base(node)
    others = (other for other, _ in found if other is not node and _meets_data(other))
    shared = any(one is base for other in others for one in other.ancestors())
    return "data" if shared else "outputs"


def _meets_data(node: Node) -> bool:
    return any(one.meeting is not None or one.op in LOSSES for one in node.ancestors(through_cuts=False))


def _base(node: Node) -> Node:
    """Return the operand of a mean, a sum or a multiplication by a constant."""
    while node.op in REDUCING:
        inside = [parent for parent in node.parents if parent.role == MODEL]
        if len(inside) != 1:
            break
        node = inside[0]
    return node
