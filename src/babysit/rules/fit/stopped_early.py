"""F903: training ended while it was still clearly improving."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import loss_skill, poor
from babysit.analysis.loss_curve import levels, share_of_fall, trend, values_of
from babysit.analysis.model_structure import adversarial
from babysit.records.curves import LOSS_TRAIN, LOSS_VALIDATION
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run, Status
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.updates.rate_too_low import travelled


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Asks how much of the whole fall came in the last fifth, and whether it beats the noise."""
    level = levels(run)
    if level is None or level.broken_at is not None or level.end < 0 or adversarial(run):
        return
    if run.status is not Status.FINISHED:
        return
    path, ratio = travelled(run)
    if level.looks < limits["few"] and limits["ratio"] < ratio and path < limits["path"] and poor(run):
        yield Evidence(
            last_step=level.steps,
            severity=Severity.INFO if level.looks < limits["trial"] else None,
            confidence=0.8,
            numbers={"steps": level.steps, "path": path, "update_ratio": ratio, "end_loss": level.end},
            meaning=f"Training took {level.steps} steps, in which no layer could move by more than {100 * path:.2g} "
            "% of its size: it ended before it began.",
        )
        return
    _, values = values_of(run.curves.get(LOSS_TRAIN))
    _, validation = values_of(run.curves.get(LOSS_VALIDATION))
    late = values[-max(10, 2 * len(values) // 5) :]
    tau, chance = trend(late)
    share = share_of_fall(values, 0.2)
    past_best = len(validation) >= 5 and int(np.argmin(validation)) < 0.8 * (len(validation) - 1)
    known = loss_skill(run)
    behind = poor(run) or (known is not None and known < limits["behind"])
    if tau >= 0 or chance > limits["chance"] or share < limits["share"] or past_best or not behind:
        return
    # Only with little learned and the curve still nearly straight is more of the same the obvious cure.
    grave = (
        level.looks >= limits["trial"] and share >= limits["straight"] and (known is None or known < limits["skill"])
    )
    yield Evidence(
        first_step=int(0.8 * level.steps),
        last_step=level.steps,
        severity=Severity.WARNING if grave else Severity.INFO,
        confidence=0.6,
        numbers={"share_of_fall": share, "start_loss": level.start, "end_loss": level.end, "steps": level.steps},
        meaning=f"{100 * share:.0f} % of the whole fall of the loss (from {level.start:.3g} to {level.end:.3g}) came "
        f"in the last fifth of {level.steps} steps: it was still going down when training ended.",
    )


RULE = Rule(
    code="F903",
    name="stopped-early",
    severity=Severity.WARNING,
    what="The loss was still clearly improving at the end.",
    why="The network had not reached what it can.",
    advice="Train for several times as many steps, or raise the learning rate.",
    find=find,
    needs=("curves",),
    limits={
        "trial": Limit(20, "fewer steps are a trial of the code, not a training that ended early: INFO"),
        "few": Limit(100, "networks of any use take hundreds of steps to train"),
        "path": Limit(0.3, "all updates added up stay below a third of the weights' own size"),
        "ratio": Limit(5e-4, "steps of ordinary length; shorter ones are rate-too-low's"),
        "share": Limit(0.06, "a straight line gives 0.2, a settled curve below 0.05"),
        "straight": Limit(0.12, "more than half of a straight line"),
        "skill": Limit(0.45, "less than half of the prior loss removed, by the loss itself"),
        "behind": Limit(0.5, "the same for a remark"),
        "chance": Limit(0.05, "Mann-Kendall on the last two fifths"),
    },
    leads_to=("F902", "F905", "O210"),
    treatments=(Treatment(action="more_epochs", value=3.0, say="Train three times as long."),),
    false_positives=("Losses that fall slowly for ever (language models): INFO once something is learned.",),
    sources=("CS231n lecture 6: a loss that falls in a straight line asks for a higher rate or more time.",),
    fires_on=(lambda: example_run(loss=np.linspace(2.3, 2.0, 400)),),
    silent_on=(healthy,),
)
