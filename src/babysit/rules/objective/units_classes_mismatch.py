"""O205: the number of outputs does not match the number of classes or target columns."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.model_structure import BINARY_LOSSES, CLASS_LOSSES, DISTANCE_LOSSES, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective, TargetKind, ValueSummary
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import BATCH, binary, classes, example_run, flat, healthy, regression
from babysit.rules.rule import Limits, Rule

# Never the name of a hand-written loss, which may need a column (`gather`).
STRICT_LOSS = "cross_entropy"
# More distinct whole numbers than this are quantities rather than classes.
MOST_CLASSES = 100


def _one_unit_for_many(objective: Objective) -> str:
    many = sum(count > 0 for count in objective.class_counts)
    if objective.loss in CLASS_LOSSES and objective.outputs == 1:
        return f"{objective.loss} gets one output, but expects one per class"
    target = objective.target
    numbered = target.whole and target.low >= 0 and max(many, target.distinct) > 2 and target.high <= MOST_CLASSES
    if objective.loss in BINARY_LOSSES and objective.outputs == 1 and numbered:
        return f"one output unit cannot distinguish {max(many, target.distinct)} classes"
    return ""


def _number_without_output(objective: Objective) -> str:
    """Describe class indices without an output unit, which torch rejects."""
    target, last = objective.target, objective.outputs - 1
    if objective.loss != STRICT_LOSS or not target.dtype.startswith(("int", "uint")) or last < 1:
        return ""
    if target.low < 0 or target.high > last:
        seen = f"class indices range from {target.low:.0f} to {target.high:.0f}"
        counted = "; they seem to start at 1 instead of 0" if (target.low, target.high) == (1, last + 1) else ""
        return f"{seen}, but the {objective.outputs} outputs stand for 0 to {last}{counted}"
    return ""


def _column_of_numbers(objective: Objective) -> str:
    """Describe class indices with shape (N, 1) instead of (N,), which torch rejects."""
    target, output = objective.target.shape, objective.prediction.shape
    if objective.loss == STRICT_LOSS and len(target) == len(output) == 2 and target[1] == 1 < output[1]:
        return f"{objective.loss} expects one class index per sample, shape ({target[0]},), and gets shape {target}"
    return ""


def _broadcast_column(objective: Objective) -> str:
    """Describe one column of targets broadcast over several outputs, so that all of them learn the same."""
    output, target = objective.prediction.shape, objective.target.shape
    if objective.loss not in DISTANCE_LOSSES | BINARY_LOSSES or not objective.broadcast:
        return ""
    if len(output) == 2 and len(target) == 2 and output[0] == target[0] and output[1] > 1 == target[1]:
        return f"{output[1]} outputs are all compared with the same single column of targets"
    if len(output) == 2 and output[1] > 1 and len(target) == 1 and output[0] == target[0] == output[1]:
        return f"{output[1]} outputs are broadcast against {target[0]} class indices, one per sample"
    return ""


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the output units with the observed classes and the columns of the target."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        seen = (
            _one_unit_for_many(objective)
            or _number_without_output(objective)
            or _column_of_numbers(objective)
            or _broadcast_column(objective)
        )
        if seen:
            yield Evidence(
                first_step=0,
                numbers={"objective": number, "outputs": objective.outputs, "classes": len(objective.class_counts)},
                message=f"{seen[0].upper()}{seen[1:]}.",
            )


RULE = Rule(
    code="O205",
    name="units-classes-mismatch",
    early=True,
    severity=Severity.ERROR,
    what="The output units do not match the number of classes or the encoding of the target.",
    why="Some classes have no output unit, so they can never be predicted.",
    recommendation="Give the last layer one unit per class with cross_entropy, or one unit for a binary target; "
    "class indices start at 0 and have shape (N,).",
    find=find,
    needs=("model_summary",),
    causes=(*NOT_LEARNING, "F906", "O204", "O206", "O207", "O208", "U602", "U603"),
    fixes=(
        Fix(
            action="set_outputs",
            say="Use one output per class.",
            code="nn.Linear(hidden, number_of_classes)",
        ),
    ),
    false_positives=("More outputs than observed classes (vocabularies) are not reported.",),
    sources=("Shapes required by torch.nn.functional.cross_entropy and binary_cross_entropy.",),
    fires_on=(
        lambda: example_run(
            objective=binary(
                "sigmoid",
                loss="binary_cross_entropy",
                target=ValueSummary(shape=(BATCH, 1), high=3, mean=1.5, variance=1.2, distinct=4, whole=True),
                class_counts=(10, 10, 10, 10),
                target_kind=TargetKind.INDICES,
            ),
            loss=flat(-1.0),
        ),
        lambda: example_run(
            objective=regression(prediction=ValueSummary(shape=(BATCH, 4)), outputs=4, broadcast=True), loss=flat(1.0)
        ),
        lambda: example_run(
            objective=classes(
                target=ValueSummary(shape=(BATCH,), dtype="int64", low=1, high=10, distinct=10, whole=True)
            )
        ),
        lambda: example_run(
            objective=classes(target=ValueSummary(shape=(BATCH, 1), dtype="int64", high=9, distinct=10, whole=True))
        ),
    ),
    silent_on=(healthy, lambda: example_run(objective=classes(class_counts=(50, 50, 0, 0, 0, 0, 0, 0, 0, 0)))),
)
