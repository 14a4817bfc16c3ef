"""O211: a ReLU is applied to the output."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import DISTANCE_LOSSES, NORMALIZING, RECTIFYING, drop_shape_ops, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import classes, example_run, falling, healthy, regression
from babysit.rules.rule import Limit, Limits, Rule

# Operations of a hand-written cross-entropy after the ReLU.
TOWARDS_A_LOGARITHM = NORMALIZING | {"log", "div", "sum"}


def _rectified(objective: Objective) -> bool:
    names = [operation.name.rstrip("_") for operation in drop_shape_ops(objective.output_ops)]
    names = [name for name in names if name != "dropout"]
    if not names or not set(names) & RECTIFYING:
        return False
    if names[-1] in RECTIFYING and objective.loss != "custom":
        return True
    # The ReLU counts only on the output of the last layer, not where a custom loss clamps at zero.
    return names[0] in RECTIFYING and len(names) > 1 and names[1] in TOWARDS_A_LOGARITHM


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a ReLU between the last layer and a loss; for non-negative targets it requires harm."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        if not _rectified(objective):
            continue
        distance = objective.loss in DISTANCE_LOSSES
        # Negative targets are reported by unreachable-target.
        if distance and objective.target.low < 0:
            continue
        hurt = is_underperforming(run) if distance else is_underperforming(run, below=limits["learned"])
        yield Evidence(
            first_step=0,
            severity=Severity.WARNING if hurt else Severity.INFO,
            confidence=0.9,
            numbers={"objective": number, "loss": objective.loss},
            message="A ReLU clamps the outputs at 0: negative outputs get no gradient, and if all are negative, "
            "training stops permanently.",
        )


RULE = Rule(
    code="O211",
    name="rectified-output",
    early=True,
    severity=Severity.WARNING,
    what="A ReLU is applied to the logits or to the output of a regression.",
    why="A ReLU discards negative outputs and their gradient, and the output unit may die.",
    recommendation="Remove the ReLU after the last layer; for positive targets use softplus.",
    find=find,
    needs=("model_summary",),
    limits={"learned": Limit(0.9, "classes: 90 % of the baseline loss removed shows that no logit died")},
    causes=(*NOT_LEARNING, *BLOWING_UP, *LOST_UNITS, "I305", "O207", "O208", "U602"),
    fixes=(
        Fix(
            action="remove_output_activation",
            say="End with the linear layer.",
            code="return self.last(hidden)  # no relu here",
        ),
    ),
    false_positives=("An intentional ReLU on a regression of counts or prices: INFO if the training learns.",),
    sources=("ReLU has zero gradient below 0 (CS231n lecture 6).",),
    fires_on=(
        lambda: example_run(objective=classes("relu"), loss=falling(2.3, 1.6)),
        lambda: example_run(objective=classes("relu", "div", "clamp", "log", loss="custom"), loss=falling(2.3, 2.29)),
    ),
    silent_on=(healthy, lambda: example_run(objective=regression("mul", "add"))),
)
