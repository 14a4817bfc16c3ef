"""F903: training ended while it was still clearly improving."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import explained_loss_share, is_underperforming
from babysit.analysis.loss_curve import levels, share_of_fall, trend, values_of
from babysit.analysis.model_structure import adversarial
from babysit.records.curves import TRAIN_LOSS, VAL_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run, Status
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check which fraction of the total decrease came in the last fifth, and whether it exceeds the noise."""
    level = levels(run)
    if level is None or level.broken_at is not None or level.end < 0 or adversarial(run):
        return
    if run.status is not Status.FINISHED or level.steps < limits["steps"]:
        return
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    _, validation = values_of(run.curves.get(VAL_LOSS))
    late = values[-max(10, 2 * len(values) // 5) :]
    tau, chance = trend(late)
    share = share_of_fall(values, 0.2)
    past_best = len(validation) >= 5 and int(np.argmin(validation)) < 0.8 * (len(validation) - 1)
    known = explained_loss_share(run)
    behind = is_underperforming(run) or (known is not None and known < limits["behind"])
    fell = level.start - level.end > limits["fall"] * abs(level.start)
    if tau >= 0 or chance > limits["chance"] or share < limits["share"] or past_best or not behind or not fell:
        return
    yield Evidence(
        first_step=int(0.8 * level.steps),
        last_step=level.steps,
        confidence=0.6,
        numbers={"share_of_fall": share, "start_loss": level.start, "end_loss": level.end, "steps": level.steps},
        message=f"Still improving: the last 20 % of {level.steps} steps account for {100 * share:.0f} % of the "
        f"total decrease of the smoothed loss (from {level.begun} to {level.ended}).",
    )


RULE = Rule(
    code="F903",
    name="stopped-early",
    severity=Severity.INFO,
    what="The loss was still clearly improving at the end.",
    why="Longer training would likely give better results: a note, never a problem.",
    recommendation="Train for several times as many steps, or raise the learning rate.",
    find=find,
    needs=("curves",),
    limits={
        "steps": Limit(200, "shorter runs are mostly tests of the code, and their loss is naturally still decreasing"),
        "fall": Limit(0.03, "below 3 % of the initial loss, stalled-loss applies"),
        "share": Limit(0.06, "a straight line gives 0.2, a converged curve below 0.05"),
        "behind": Limit(0.5, "less than half of the baseline loss removed, by the loss itself"),
        "chance": Limit(0.05, "Mann-Kendall on the last two fifths"),
    },
    causes=("F902", "F905", "O210"),
    fixes=(Fix(action="more_epochs", value=3.0, say="Train three times as long."),),
    false_positives=("Losses that keep decreasing slowly (language models).",),
    sources=("CS231n lecture 6: a loss that decreases linearly suggests a higher learning rate or longer training.",),
    fires_on=(lambda: example_run(loss=np.linspace(2.3, 2.0, 400)),),
    silent_on=(healthy, lambda: example_run(loss=np.linspace(2.3, 2.25, 400))),
)
