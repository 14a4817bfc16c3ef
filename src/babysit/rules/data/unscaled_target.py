"""D105: unscaled regression targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import DISTANCE_LOSSES, model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import TargetKind, ValueSummary
from babysit.records.run import Run
from babysit.rules.data.unscaled_input import magnitude
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import BATCH, example_run, flat, healthy_regression, regression
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check mean and standard deviation of continuous targets; a problem if the training learns poorly."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        target = objective.target
        labels = objective.target_kind in (TargetKind.ONE_HOT, TargetKind.ZERO_ONE, TargetKind.NONE)
        if objective.loss not in DISTANCE_LOSSES or labels or not target.shape:
            continue
        std = math.sqrt(max(target.variance, 0.0))
        size = math.hypot(target.mean, std)
        if size <= limits["large"]:
            continue
        # The stability of a single linear layer depends on its inputs and the learning rate only, not on the targets.
        deep = len(weight_layers(run)) > 1
        yield Evidence(
            first_step=0,
            severity=Severity.WARNING if deep and is_underperforming(run) else Severity.INFO,
            confidence=magnitude(size / limits["large"]),
            numbers={"objective": number, "mean": target.mean, "std": std, "size": size},
            message=f"The targets have mean {target.mean:.3g} and standard deviation {std:.3g}, while an untrained "
            f"network predicts values near 0: its first error is {size:.3g}, and the gradient of squared error is "
            "proportional to it.",
        )


RULE = Rule(
    code="D105",
    name="unscaled-target",
    severity=Severity.WARNING,
    what="A regression target has a large mean or variance, while the untrained output is near 0.",
    why="The first gradients are proportional to the targets: the updates explode, or the learning rate must be "
    "too small for the other layers to learn.",
    recommendation="Standardize the targets with the statistics of the training set, and invert the scaling of "
    "the predictions.",
    find=find,
    needs=("model_summary",),
    limits={
        "large": Limit(
            10.0, "ten times the unit scale of an untrained output; the first updates are ten times too large"
        )
    },
    causes=(*NOT_LEARNING, *BLOWING_UP, *LOST_UNITS, "O207", "U601", "U602", "I304"),
    fixes=(
        Fix(
            action="standardize_target", say="Standardize the targets.", code="y = (y - y_train.mean()) / y_train.std()"
        ),
    ),
    false_positives=("Large targets that are learned anyway: INFO.",),
    sources=("The gradient of squared error is proportional to the error.",),
    fires_on=(
        lambda: example_run(
            objective=regression(target=ValueSummary(shape=(BATCH, 1), low=1e4, high=1e5, mean=5e4, variance=1e8)),
            loss=flat(2.6e9),
        ),
    ),
    silent_on=(healthy_regression,),
)
