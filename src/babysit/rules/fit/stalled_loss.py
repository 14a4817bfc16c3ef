"""F905: the loss does not decrease."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import explained_share, falling, is_underperforming, unfinished
from babysit.analysis.loss_curve import levels, values_of
from babysit.analysis.model_structure import BOUNDED_LOSSES, main_objective, moving_target
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the end of the loss with its start; a note only if the lower bound of the loss is unknown."""
    level, objective = levels(run), main_objective(run)
    if level is None or level.broken_at is not None or level.recorded < limits["steps"] or not is_underperforming(run):
        return
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    fall = (level.start - level.end) / max(abs(level.start), 1e-12)
    if fall > limits["fall"] or unfinished(run) or (falling(run) and fall > limits["fall"] / 2):
        return
    trend_text = f"decreased by only {100 * fall:.2g} % and has levelled off" if falling(run) else "does not decrease"
    bounded = objective is not None and objective.loss in BOUNDED_LOSSES and explained_share(run) is not None
    bounded_below = bounded or (
        objective is not None and not objective.composite and len(values) > 0 and float(values.min()) >= 0
    )
    yield Evidence(
        first_step=0,
        last_step=level.steps,
        severity=Severity.WARNING if bounded_below and not moving_target(run) else Severity.INFO,
        confidence=0.7 if bounded else 0.5,
        numbers={"start_loss": level.start, "end_loss": level.end, "steps": level.steps, "noise": level.noise},
        message=f"In {level.steps} steps the loss went from {level.begun} to {level.ended}: it {trend_text}.",
    )


RULE = Rule(
    code="F905",
    name="stalled-loss",
    severity=Severity.WARNING,
    what="The loss does not decrease.",
    why="Nothing is learned, and training longer will not change that.",
    recommendation="Try to overfit 20 samples: if that fails, there is a bug in model, loss or loop; else try "
    "other learning rates.",
    find=find,
    needs=("curves",),
    limits={"fall": Limit(0.03, "less than 3 % of the initial loss"), "steps": Limit(30, "too few steps to conclude")},
    fixes=(
        Fix(action="overfit_tiny", say="Try to overfit 20 samples."),
        Fix(
            action="lr_range",
            say="Find a learning rate at which the loss decreases.",
            code="babysit.check(model, data)",
        ),
    ),
    false_positives=(
        "Adversarial and reinforcement learning losses need not decrease.",
        "Runs that start from trained weights.",
    ),
    sources=("CS231n lecture 6: find a learning rate that makes the loss go down.",),
    fires_on=(lambda: example_run(loss=flat(2.3)),),
    silent_on=(healthy,),
)
