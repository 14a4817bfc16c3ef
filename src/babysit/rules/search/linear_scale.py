"""S002: a scale parameter was searched on a linear scale."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.search.example_runs import peak, searched, sound

# Additive parameters: a dropout of 0.4 is not "twice" 0.2 in any useful sense, and zero is a valid value.
_ADDITIVE: Final = frozenset({"dropout", "momentum", "label_smoothing", "beta1", "beta2", "lr_decay"})


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for linear ranges over two or more decades."""
    reported = set()
    for stage_range in run.ranges:
        name = stage_range.parameter
        if (
            stage_range.log
            or name in _ADDITIVE
            or name in reported
            or stage_range.low < 0
            or stage_range.high <= stage_range.low
        ):
            continue
        decades = math.log10(stage_range.high / stage_range.low) if stage_range.low > 0 else math.inf
        if decades < limits["decades"]:
            continue
        reported.add(name)
        tenth = stage_range.low + 0.1 * (stage_range.high - stage_range.low)
        yield Evidence(
            numbers={"parameter": name, "low": stage_range.low, "high": stage_range.high, "decades": decades},
            message=f"{name} was searched linearly from {stage_range.low:.2g} to {stage_range.high:.2g}: about 90 "
            f"% of the trials lie above {tenth:.2g}, and small values were hardly tried.",
            recommendation=f"Search {name} on a logarithmic scale: remove `:linear`"
            + ("." if stage_range.low > 0 else ", and start above zero."),
            fixes=(Fix(action="log_scale", target=name, say=f"Search {name} on a logarithmic scale."),),
        )


RULE = Rule(
    code="S002",
    name="linear-scale",
    severity=Severity.WARNING,
    what="A scale parameter was searched on a linear scale.",
    why="Learning rates and penalties act multiplicatively: evenly spaced values spend nearly all trials in the "
    "highest decade.",
    recommendation="Search it on a logarithmic scale.",
    find=find,
    fixes=(Fix(action="log_scale", say="Search it on a logarithmic scale."),),
    limits={"decades": Limit(2.0, "below two decades linear and logarithmic sampling differ little")},
    false_positives=("Custom hyperparameters that are additive, such as an angle or an offset.",),
    sources=("CS231n lecture 6: sample in log space, 10 ** uniform(-3, -6).",),
    fires_on=(
        lambda: searched(peak("lr", 1e-3), {"lr": (1e-5, 1e-1)}, log=False),
        lambda: searched(lambda values: 0.5, {"weight_decay": (0.0, 0.1)}, log=False),
    ),
    silent_on=(sound, lambda: searched(lambda values: 0.5, {"dropout": (0.0, 0.5)}, log=False)),
)
