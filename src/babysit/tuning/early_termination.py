"""Early termination of trials that diverge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

KEPT_COSTS: Final = 20
# CS231n lecture 6: "if the cost is ever > 3 * original cost, break out early".
FACTOR: Final = 3.0
# The lecture's cost is an epoch mean; a single mini-batch is noisier, so the median of the last five losses is used.
_JUDGED_COSTS: Final = 5

EXPLODED: Final = "loss above 3x the initial loss"
NOT_A_NUMBER: Final = "loss is NaN"
INFINITE: Final = "loss is infinite"


def stop_reason(initial_cost: float, last_costs: Sequence[float]) -> str:
    """Return why a trial must stop after the last of these losses, or "" if it may continue.

    Args:
        initial_cost: data loss of the first batch, before any update; without weight penalty, since a large penalty
            would hide a diverging loss.
        last_costs: the most recent data losses, in order.
    """
    newest = last_costs[-1]
    if math.isnan(newest):
        return NOT_A_NUMBER
    if math.isinf(newest):
        return INFINITE
    judged = sorted(list(last_costs)[-_JUDGED_COSTS:])
    enough = len(judged) == _JUDGED_COSTS
    return EXPLODED if enough and judged[_JUDGED_COSTS // 2] > FACTOR * initial_cost else ""
