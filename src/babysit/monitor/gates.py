"""Detection of activations that only weight another result: gates, routers, attention over kernels."""

from __future__ import annotations

from typing import Final

from babysit.monitor.graph_node import MODEL, Node
from babysit.monitor.operations import TRANSPARENT

WEIGHING: Final = frozenset({"sigmoid", "hardsigmoid", "softmax"})
# Operations allowed between an activation and its use as a weight: shift, normalization, selection, reshape.
ON_THE_WAY: Final = TRANSPARENT | {
    "mul", "div", "add", "sub", "rsub", "neg", "getitem", "index_select", "gather", "topk", "sum", "where",
    "masked_fill", "repeat", "interpolate", "dropout",
}  # fmt: skip
CHOOSING: Final = frozenset({"getitem", "gather", "index_select"})  # from the first argument; the others are indices
MOST_STEPS_BACK: Final = 16


def gates(product: Node) -> list[Node]:
    """Return the activations that enter one factor of a product of two results of the model, but not the other.

    x * sigmoid(x) is gated by the sigmoid; h * (1 - h), the slope of a sigmoid, has no gate.
    """
    factors = [_activations(parent) for parent in product.parents if parent.role == MODEL]
    if len(factors) < 2:
        return []
    return [one for factor in factors for one in factor if not all(one in other for other in factors)]


def _activations(node: Node) -> list[Node]:
    found, waiting, seen = [], [node], 0
    while waiting and seen < MOST_STEPS_BACK:
        one, seen = waiting.pop(), seen + 1
        if one.op in WEIGHING:
            found.append(one)
        elif one.op in ON_THE_WAY and not one.extra.get("weighted"):
            parents = one.parents[:1] if one.op in CHOOSING else one.parents
            waiting += [parent for parent in parents if parent.role == MODEL]
    return found
