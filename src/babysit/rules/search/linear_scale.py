"""S002: a hyperparameter that acts by factors was searched linearly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.search.example_runs import peak, searched, sound

# Shares add up: a dropout of 0.4 is not "twice" 0.2 in any useful sense, and zero is one of their values.
_SHARES: Final = frozenset({"dropout", "momentum", "label_smoothing", "beta1", "beta2", "lr_decay"})


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Looks for linear ranges over two or more decades."""
    told = set()
    for piece in run.ranges:
        name = piece.parameter
        if piece.log or name in _SHARES or name in told or piece.low < 0 or piece.high <= piece.low:
            continue
        decades = math.log10(piece.high / piece.low) if piece.low > 0 else math.inf
        if decades < limits["decades"]:
            continue
        told.add(name)
        tenth = piece.low + 0.1 * (piece.high - piece.low)
        yield Evidence(
            numbers={"parameter": name, "low": piece.low, "high": piece.high, "decades": decades},
            message=f"{name} was searched linearly from {piece.low:.2g} to {piece.high:.2g}: nine in ten trials lie "
            f"above {tenth:.2g}, and small values were hardly tried.",
            recommendation=f"Search {name} on a logarithmic scale: leave out `:linear`"
            + ("." if piece.low > 0 else ", and begin above zero."),
            fixes=(Fix(action="log_scale", target=name, say=f"Search {name} by factors of ten."),),
        )


RULE = Rule(
    code="S002",
    name="linear-scale",
    severity=Severity.WARNING,
    what="A hyperparameter that acts by factors was searched linearly.",
    why="Learning rates and penalties act by factors: evenly spaced values spend nearly all trials in the highest "
    "decade.",
    recommendation="Search it on a logarithmic scale.",
    find=find,
    fixes=(Fix(action="log_scale", say="Search it by factors of ten."),),
    limits={"decades": Limit(2.0, "below two decades linear and logarithmic draws differ little")},
    false_positives=("Hyperparameters of your own that do add up, such as an angle or an offset.",),
    sources=("CS231n lecture 6: sample in log space, 10 ** uniform(-3, -6).",),
    fires_on=(
        lambda: searched(peak("lr", 1e-3), {"lr": (1e-5, 1e-1)}, log=False),
        lambda: searched(lambda values: 0.5, {"weight_decay": (0.0, 0.1)}, log=False),
    ),
    silent_on=(sound, lambda: searched(lambda values: 0.5, {"dropout": (0.0, 0.5)}, log=False)),
)
