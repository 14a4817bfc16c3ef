"""O204: the loss does not fit what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import (
    BINARY_LOSSES,
    DISTANCE_LOSSES,
    adversarial,
    model_summary_of,
    only_data_term,
)
from babysit.records.curves import VAL_ACCURACY
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective, TargetKind, Task, ValueSummary
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, NOT_LEARNING
from babysit.rules.examples import binary, classes, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule

# More different whole numbers than this are amounts, counts or ages rather than names of classes.
FEW_CLASSES: Final = 20
SIDED_LOSSES: Final = frozenset({"hinge_loss", "soft_margin_loss", "hinge_embedding_loss"})


def _cross_entropy_on_reals(objective: Objective) -> str:
    if objective.loss != "cross_entropy" or objective.target.rows_sum_to_one:
        return ""
    target = objective.target
    if target.dtype.startswith(("int", "uint")):
        return ""  # class numbers, the right ones or not (O205)
    if target.whole and target.low >= 0 and len(target.shape) < len(objective.prediction.shape):
        return (
            f"cross_entropy gets class numbers as {target.dtype or 'float32'} and wants whole numbers: `target.long()`"
        )
    if objective.target_kind is TargetKind.REAL:
        return "cross_entropy is asked to predict real numbers; it wants class numbers or probabilities"
    if objective.target_kind is TargetKind.ZERO_ONE and objective.target.shape == objective.prediction.shape:
        return (
            "the targets hold several labels a row, or none, and cross_entropy lets the classes compete for one; "
            "independent labels need binary_cross_entropy_with_logits"
        )
    return ""


def _distance_on_classes(objective: Objective) -> str:
    labels = objective.target_kind in (TargetKind.ONE_HOT, TargetKind.ZERO_ONE) or (
        objective.task in (Task.CLASSES, Task.BINARY) and objective.target_kind is TargetKind.INDICES
    )
    if objective.loss in DISTANCE_LOSSES and labels and objective.target.variance > 0:
        return f"{objective.loss} measures a distance, and the targets are class labels"
    return ""


def _distance_on_class_numbers(run: Run, objective: Objective) -> str:
    """Class numbers taken for amounts; only where the loop counts right answers, since grades are numbers too."""
    counted = len(run.curves.get(VAL_ACCURACY)) > 0
    whole = objective.target.whole and 2 < objective.target.distinct <= FEW_CLASSES
    if objective.loss in DISTANCE_LOSSES and whole and objective.outputs == 1 and counted:
        return (
            f"{objective.loss} takes {objective.target.distinct} class numbers for amounts, although right answers are "
            "counted afterwards; confusing class 0 with 2 costs more than 0 with 1"
        )
    return ""


def _sides_as_numbers(objective: Objective) -> str:
    """Losses that want -1 and +1 and are given 0 and 1: every sample of class 0 is left out."""
    numbered = objective.target.whole and objective.target.low == 0 and objective.target.high == 1
    if objective.loss in SIDED_LOSSES and numbered:
        return f"{objective.loss} wants labels -1 and +1 and gets 0 and 1: times 0, the samples of class 0 say nothing"
    return ""


def _binary_on_exclusive(objective: Objective) -> str:
    if objective.loss in BINARY_LOSSES and objective.target_kind is TargetKind.ONE_HOT and objective.outputs > 2:
        return f"{objective.loss} treats {objective.outputs} exclusive classes as independent questions"
    return ""


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares the loss with the kind of target; what works somewhat is an alarm only when training went badly."""
    if adversarial(run):
        return  # least-squares GANs use squared error on zeros and ones with good reason
    for number, objective in enumerate(model_summary_of(run).objectives):
        contradiction = _cross_entropy_on_reals(objective) or _sides_as_numbers(objective)
        # Beside other losses of the data, zeros and ones may be what a value function estimates.
        alone = not objective.composite or only_data_term(run)
        mild = (_distance_on_classes(objective) or _binary_on_exclusive(objective)) if alone else ""
        numbered = "" if mild else _distance_on_class_numbers(run, objective)
        mild = mild or numbered
        if not (contradiction or mild):
            continue
        short = numbered and run.curves.get(VAL_ACCURACY).values[-1] < limits["accuracy"]
        hurt = (is_underperforming(run) or short) and not _binary_on_exclusive(objective)
        severity = Severity.ERROR if contradiction else Severity.WARNING if hurt else Severity.INFO
        seen = contradiction or mild
        yield Evidence(
            first_step=0,
            severity=severity,
            confidence=1.0 if contradiction else 0.6,
            numbers={"objective": number, "loss": objective.loss, "target_kind": objective.target_kind.value},
            message=f"{seen[0].upper()}{seen[1:]}.",
        )


RULE = Rule(
    code="O204",
    name="loss-task-mismatch",
    early=True,
    severity=Severity.WARNING,
    what="The loss does not fit the task: a distance for classes, or cross-entropy for real numbers.",
    why="A distance on probabilities has tiny gradients where the answer is confidently wrong (and L1 is content with "
    "the majority); cross-entropy of real numbers has no meaning.",
    recommendation="Classes: cross_entropy on logits. Yes or no: binary_cross_entropy_with_logits. Real numbers: "
    "mse_loss.",
    find=find,
    needs=("model_summary",),
    limits={
        "accuracy": Limit(
            0.9, "above it there is little left for a loss that fits to gain; a convention, not a measurement"
        ),
    },
    causes=(*NOT_LEARNING, *BLOWING_UP, "O208", "U602"),
    fixes=(
        Fix(
            action="set_loss",
            value="cross_entropy",
            say="Use cross-entropy for classes.",
            code="loss = torch.nn.functional.cross_entropy(logits, labels)",
        ),
    ),
    false_positives=(
        "Squared error on one-hot labels (the Brier score) and one-vs-all are sound: INFO when they work.",
    ),
    sources=("Hui & Belkin 2021 (arXiv 2006.07322): squared error can match cross-entropy, hence harm is asked for.",),
    fires_on=(
        lambda: example_run(
            objective=classes(
                loss="hinge_loss", target_kind=TargetKind.ZERO_ONE, target=ValueSummary(whole=True, high=1.0)
            )
        ),
        lambda: example_run(objective=binary("sigmoid", loss="l1_loss"), loss=flat(0.5)),
        lambda: example_run(
            objective=classes(target_kind=TargetKind.REAL, target=ValueSummary(dtype="float32", low=-2.5, high=2.5)),
            loss=flat(2.0),
        ),
        lambda: example_run(
            objective=classes(
                target_kind=TargetKind.REAL, target=ValueSummary(shape=(64,), dtype="float32", high=9.0, whole=True)
            )
        ),
    ),
    silent_on=(healthy,),
)
