"""D106: targets of a single class or value."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.model_structure import BINARY_LOSSES, CLASS_LOSSES, DISTANCE_LOSSES, adversarial, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import ValueSummary
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import classes, example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for labels of one class over all batches, or a target without variance."""
    model_summary = model_summary_of(run)
    # A discriminator is trained on ones, then zeros: several optimizers or objectives are not checked.
    if adversarial(run) or len(model_summary.objectives) != 1:
        return
    objective = model_summary.objectives[0]
    counts, target = objective.class_counts, objective.target
    observed = sum(counts)
    one_class = (
        objective.loss in CLASS_LOSSES | BINARY_LOSSES and observed >= limits["labels"] and max(counts) == observed
    )
    values = 1
    for size in target.shape:
        values *= size
    one_value = (
        objective.loss in DISTANCE_LOSSES and not observed and values >= limits["labels"] and target.variance == 0
    )
    if one_class or one_value:
        what = f"class {counts.index(max(counts))}" if one_class else f"{target.mean:.3g}"
        yield Evidence(
            first_step=0,
            numbers={"seen": observed or values, "classes": sum(count > 0 for count in counts)},
            message=f"All {observed or values:,} observed targets are {what}: a constant prediction is perfect, so "
            "nothing about the input is learned.",
        )


RULE = Rule(
    code="D106",
    name="constant-target",
    severity=Severity.ERROR,
    what="All targets have one class or one value.",
    why="A constant prediction is perfect, so the loss decreases to 0 and nothing is learned.",
    recommendation="Check how the labels are loaded: rounding, division, or a wrong column makes them constant.",
    find=find,
    needs=("model_summary",),
    limits={"labels": Limit(50, "fifty labels of one class do not occur by chance")},
    causes=(*NOT_LEARNING, "D107", "F901", "O207", "A401"),
    fixes=(Fix(action="check_labels", say="Count the labels.", code="print(torch.bincount(labels))"),),
    false_positives=("Data sorted by class, if only the first class was observed.", "One-class methods."),
    sources=("The entropy of one class is 0.",),
    fires_on=(
        lambda: example_run(
            objective=classes(class_counts=(1000, *(0,) * 9), target=ValueSummary(shape=(64,), whole=True))
        ),
    ),
    silent_on=(healthy,),
)
