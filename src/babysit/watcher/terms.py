"""What a loss adds up: the data's part, penalties on weights, penalties on what the network puts out."""

from __future__ import annotations

from babysit.records.anatomy import Term
from babysit.watcher.node import MODEL, Node
from babysit.watcher.operations import LOSSES

# A sum of more parts than this is a loss over many pieces (time steps, boxes), not one of a few terms.
MOST_TERMS = 8


def terms_of(loss: Node) -> list[tuple[str, float]]:
    """Kind and value of every summand of a scalar; [] when it is no sum, or one of very many. Reads the device."""
    found: list[tuple[str, float]] = []
    waiting = [(loss, 0.0, 1.0)]
    while waiting:
        node, value, sign = waiting.pop(0)
        inner = [(part, sign * own * float(size), sign * own) for part, size, own in node.extra.get("summands", ())]
        if inner:
            waiting = inner + waiting
        elif node.parents and node is not loss:
            found.append((_kind(node), value))
        if len(found) + len(waiting) > MOST_TERMS:
            return []
    return found if len(found) > 1 else []


def updated(known: tuple[Term, ...], seen: list[tuple[str, float]]) -> tuple[Term, ...]:
    """The terms with their latest values; a sum of other parts than at first changes nothing."""
    if not known:
        return tuple(Term(kind=kind, first=value, last=value) for kind, value in seen)
    if [term.kind for term in known] != [kind for kind, _ in seen]:
        return known
    return tuple(
        Term(kind=term.kind, first=term.first, last=value) for term, (_, value) in zip(known, seen, strict=True)
    )


def _kind(node: Node) -> str:
    if node.role != MODEL:
        return "weights"
    met = any(one.meeting is not None or one.op in LOSSES for one in node.ancestors(through_cuts=False))
    return "data" if met else "outputs"
