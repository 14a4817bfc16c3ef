"""F902: training and validation are both poor, and the loss has levelled off."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import explained_share, is_underperforming
from babysit.analysis.loss_curve import levels, share_of_fall, values_of
from babysit.records.curves import TRAIN_LOSS, VAL_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, falling, healthy
from babysit.rules.fit.overfitting import last_mean
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a loss that levelled off far above what is achievable, with no gap to validation."""
    level, known = levels(run), explained_share(run)
    if (
        level is None
        or known is None
        or level.broken_at is not None
        or not limits["some"] < known < limits["skill"]
        or not is_underperforming(run)
    ):
        return
    _, train = values_of(run.curves.get(TRAIN_LOSS))
    _, validation = values_of(run.curves.get(VAL_LOSS))
    if level.recorded < limits["steps"] or share_of_fall(train, 0.2) > limits["still"]:
        return
    if len(validation) and last_mean(validation) > (1 + limits["gap"]) * level.end:
        return
    yield Evidence(
        last_step=level.steps,
        numbers={"skill": known, "end_loss": level.end, "steps": level.steps},
        message=f"The loss levelled off at {level.ended}: {100 * known:.0f} % below that of a constant prediction, "
        "with no gap to validation. Longer training will not help.",
        confidence=0.5,
    )


RULE = Rule(
    code="F902",
    name="underfitting",
    severity=Severity.INFO,
    what="Training and validation are both poor, with no gap between them.",
    why="The network cannot fit even the training set: its capacity is too low or its regularization too strong.",
    recommendation="Try more units or layers, less regularization, or better features; first check that the "
    "network can overfit 20 samples.",
    find=find,
    fallback=True,
    needs=("model_summary", "curves"),
    limits={
        "skill": Limit(0.25, "a quarter of the baseline loss; noisy tasks reach more if anything is learned"),
        "some": Limit(0.05, "less is no learning at all (constant-prediction, stalled-loss)"),
        "still": Limit(0.1, "half of the share of a straight line"),
        "gap": Limit(0.2, "20 % more loss on validation"),
        "steps": Limit(50, "too few steps to level off"),
    },
    fixes=(
        Fix(action="scale_width", value=2.0, say="Double the width."),
        Fix(action="set_weight_decay", value=0.0, say="Train without regularization first."),
    ),
    false_positives=("Targets that are mostly noise have the same symptoms, so this is a note and never a problem.",),
    sources=("CS231n lecture 6: no gap suggests more capacity.",),
    fires_on=(lambda: example_run(loss=falling(2.4, 2.0)),),
    silent_on=(healthy,),
)
