"""F902: training and validation are both poor, and nothing moves any more."""

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
    """Fires on a low skill, a curve that has levelled off, and no gap to validation."""
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
    if level.looks < limits["steps"] or share_of_fall(train, 0.2) > limits["still"]:
        return
    if len(validation) and last_mean(validation) > (1 + limits["gap"]) * level.end:
        return
    yield Evidence(
        last_step=level.steps,
        numbers={"skill": known, "end_loss": level.end, "steps": level.steps},
        message=f"The loss levelled off at {level.ended}: only {100 * known:.0f} % of what a constant answer "
        "loses was removed, with no gap to validation. More of the same will not help.",
        confidence=0.5,
    )


RULE = Rule(
    code="F902",
    name="underfitting",
    severity=Severity.INFO,
    what="Training and validation are both poor, with no gap between them.",
    why="The network cannot (or is not allowed to) fit even what it sees.",
    recommendation="Try more units or layers, less regularization, better features; first check that 20 "
    "samples can be overfitted.",
    find=find,
    fallback=True,
    needs=("model_summary", "curves"),
    limits={
        "skill": Limit(0.25, "a quarter of the prior loss; noisy tasks reach more when anything is learned"),
        "some": Limit(0.05, "less is not underfitting but learning nothing (constant-prediction, stalled-loss)"),
        "still": Limit(0.1, "half of what a straight line would bring in the last fifth"),
        "gap": Limit(0.2, "a fifth more loss on validation"),
        "steps": Limit(50, "fewer steps say only that nobody waited"),
    },
    fixes=(
        Fix(action="scale_width", value=2.0, say="Double the width."),
        Fix(action="set_weight_decay", value=0.0, say="Train without regularization first."),
    ),
    false_positives=("Targets that are mostly noise look the same, so this is a remark and never an alarm.",),
    sources=("CS231n lecture 6: no gap may mean room for more capacity.",),
    fires_on=(lambda: example_run(loss=falling(2.4, 2.0)),),
    silent_on=(healthy,),
)
