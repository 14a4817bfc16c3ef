"""D104: constant features."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.data.unscaled_input import fed
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, healthy, profile
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Count constant features; an error if all are constant."""
    split = fed(run)
    if split is None or split.samples < limits["samples"]:
        return
    total = math.prod(split.input_shape) or len(split.feature_std)
    if total and not np.any(split.feature_std > 0) and not split.std > 0:
        yield Evidence(
            first_step=0,
            severity=Severity.ERROR,
            numbers={"constant": split.constant_features, "features": total},
            message=f"All {total} input features are constant over {split.samples:,} samples.",
        )
    elif split.constant_features:
        yield Evidence(
            numbers={"constant": split.constant_features, "features": total},
            message=f"{split.constant_features} of {total} input features are constant over {split.samples:,} "
            "samples and carry no information.",
        )


RULE = Rule(
    code="D104",
    name="constant-feature",
    severity=Severity.INFO,
    what="Constant features, or a batch whose samples are all the same.",
    why="A constant feature carries no information; if all are constant, nothing can be learned.",
    recommendation="Drop constant features; if all are constant, check how the batch is loaded.",
    find=find,
    needs=("data",),
    limits={"samples": Limit(16, "fewer samples may agree by chance")},
    causes=(*NOT_LEARNING,),
    fixes=(Fix(action="drop_features", say="Keep only the features that vary.", code="x = x[:, x_train.std(0) > 0]"),),
    false_positives=("Corner pixels that are always black are harmless.",),
    sources=("TheDeepChecker (TOSEM 2022): constant features.",),
    fires_on=(
        lambda: example_run(data=profile(constant_features=3)),
        lambda: example_run(data=profile(constant_features=20, std=0.0, feature_std=np.zeros(20))),
    ),
    silent_on=(healthy,),
)
