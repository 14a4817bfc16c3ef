"""When a trial is not worth going on with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

KEPT_COSTS: Final = 20
# CS231n lecture 6: "if the cost is ever > 3 * original cost, break out early".
FACTOR: Final = 3.0
# The lecture's cost is the mean of an epoch; one mini-batch is noisier, so the median of the last five stands for it.
_JUDGED_COSTS: Final = 5

EXPLODED: Final = "cost above 3x the initial cost"
NOT_A_NUMBER: Final = "cost is NaN"
INFINITE: Final = "cost is infinite"


def stop_reason(initial_cost: float, last_costs: Sequence[float]) -> str:
    """Why a trial must stop after the last of these costs, or "" when it may go on.

    Args:
        initial_cost: the data loss of the first batch, before any update; the weight penalty is not part of it, since
            a large one would hide a loss that explodes.
        last_costs: the most recent data losses, the newest last.
    """
    newest = last_costs[-1]
    if math.isnan(newest):
        return NOT_A_NUMBER
    if math.isinf(newest):
        return INFINITE
    judged = sorted(list(last_costs)[-_JUDGED_COSTS:])
    enough = len(judged) == _JUDGED_COSTS
    return EXPLODED if enough and judged[_JUDGED_COSTS // 2] > FACTOR * initial_cost else ""
