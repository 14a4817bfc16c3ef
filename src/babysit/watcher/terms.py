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
    waiting = [(node, float(value)) for node, value in loss.extra.get("summands", ())]
    while waiting:
        node, signed = waiting.pop(0)
        inner = [(part, float(size)) for part, size in node.extra.get("summands", ())]
        # What is subtracted as a whole turns the signs of its parts.
        turned = -1.0 if signed * sum(size for _, size in inner) < 0 else 1.0
        if inner:
            waiting = [(part, turned * size) for part, size in inner] + waiting
        elif node.parents:
            found.append((_kind(node), signed))
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
