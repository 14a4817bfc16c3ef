"""U605: batches so small that training is noisy, or so large that there are few steps."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run, Status
from babysit.rules.examples import example_run, falling, flat, healthy
from babysit.rules.gradients.noisy_gradient import RULE as NOISY
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check for noisy gradients of small batches, and for too few steps with large batches."""
    batch, steps = model_summary_of(run).batch_size, run.events.steps
    if adversarial(run) or not batch:
        return
    noisy = list(NOISY.find(run, {name: limit.value for name, limit in NOISY.limits.items()}))
    if noisy:
        yield Evidence(
            numbers=noisy[0].numbers,
            confidence=0.5,
            message=f"Batches of {batch} are too small for updates of this size: the loss is noisy and does not "
            "decrease.",
            recommendation="Use batches of 16 to 64.",
        )
    few_steps = run.status is Status.FINISHED and 10 <= steps < limits["steps"] and batch >= limits["large"]
    if few_steps and is_underperforming(run):
        yield Evidence(
            severity=Severity.INFO,
            numbers={"batch_size": batch, "steps": steps},
            message=f"With batches of {batch} the run took only {steps} steps.",
            recommendation="Use smaller batches (32 to 128) for more steps per epoch, or more epochs.",
        )


RULE = Rule(
    code="U605",
    name="bad-batch-size",
    severity=Severity.WARNING,
    what="The batch is so small that training is noisy, or so large that there are too few steps.",
    why="Training needs many steps, each roughly in the direction of the full gradient.",
    recommendation="Begin with batches of 32 to 128.",
    find=find,
    needs=("model_summary", "curves", "events"),
    limits={
        "steps": Limit(100, "fewer steps than most networks need"),
        "large": Limit(256, "a large batch for a small run"),
    },
    causes=("F902", "F903", "F905", "F909", "G505", "O210"),
    fixes=(Fix(action="set_batch_size", value=32, say="Use batches of 32."),),
    false_positives=("Full-batch training with enough steps.",),
    sources=("Masters & Luschi 2018 (arXiv 1804.07612): batches of 2 to 32 often do best.",),
    fires_on=(
        lambda: example_run(loss=flat(2.3, noise=0.6), facts={"batch_size": 2}, layer_metrics={"update_ratio": 0.01}),
    ),
    silent_on=(healthy, lambda: example_run(loss=falling(2.3, 0.1), facts={"batch_size": 2048})),
)
