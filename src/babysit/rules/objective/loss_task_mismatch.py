"""O204: the loss does not fit the task."""

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

# More distinct whole numbers than this are quantities rather than class indices.
FEW_CLASSES: Final = 20
SIDED_LOSSES: Final = frozenset({"hinge_loss", "soft_margin_loss", "hinge_embedding_loss"})


def _cross_entropy_on_reals(objective: Objective) -> str:
    if objective.loss != "cross_entropy" or objective.target.rows_sum_to_one:
        return ""
    target = objective.target
    if target.dtype.startswith(("int", "uint")):
        return ""  # class indices, valid or not (O205)
    if target.whole and target.low >= 0 and len(target.shape) < len(objective.prediction.shape):
        return f"cross_entropy gets class indices as {target.dtype or 'float32'} and expects integers: `target.long()`"
    if objective.target_kind is TargetKind.REAL:
        return "the targets are continuous, and cross_entropy expects class indices or probabilities"
    if objective.target_kind is TargetKind.ZERO_ONE and objective.target.shape == objective.prediction.shape:
        return (
            "the targets have several labels per sample, or none, and cross_entropy assumes exactly one; "
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
    """Describe class indices treated as quantities; only if the loop computes an accuracy (ratings are numbers too)."""
    counted = len(run.curves.get(VAL_ACCURACY)) > 0
    whole = objective.target.whole and 2 < objective.target.distinct <= FEW_CLASSES
    if objective.loss in DISTANCE_LOSSES and whole and objective.outputs == 1 and counted:
        return (
            f"{objective.loss} treats {objective.target.distinct} class indices as quantities, although an "
            "accuracy is computed: confusing class 0 with 2 has a higher loss than 0 with 1"
        )
    return ""


def _signs_as_indices(objective: Objective) -> str:
    """Describe losses that expect labels -1 and +1 and get 0 and 1, which ignores every sample of class 0."""
    numbered = objective.target.whole and objective.target.low == 0 and objective.target.high == 1
    if objective.loss in SIDED_LOSSES and numbered:
        return (
            f"{objective.loss} expects labels -1 and +1 and gets 0 and 1: the samples of class 0 are multiplied "
            "by 0 and ignored"
        )
    return ""


def _binary_on_exclusive(objective: Objective) -> str:
    if objective.loss in BINARY_LOSSES and objective.target_kind is TargetKind.ONE_HOT and objective.outputs > 2:
        return f"{objective.loss} treats {objective.outputs} exclusive classes as independent"
    return ""


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the loss with the kind of target; a working mismatch is a problem only if the training learns poorly."""
    if adversarial(run):
        return  # least-squares GANs intentionally use squared error on zeros and ones
    for number, objective in enumerate(model_summary_of(run).objectives):
        contradiction = _cross_entropy_on_reals(objective) or _signs_as_indices(objective)
        # With other data losses, zeros and ones may be the targets of a value function.
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
    what="The loss does not fit the task: a distance for classes, or cross-entropy for continuous targets.",
    why="A distance on probabilities has tiny gradients for confident wrong predictions (and L1 favors the "
    "majority class); cross-entropy of continuous targets is meaningless.",
    recommendation="Classes: cross_entropy on logits. Binary: binary_cross_entropy_with_logits. Continuous: mse_loss.",
    find=find,
    needs=("model_summary",),
    limits={
        "accuracy": Limit(0.9, "above it a better loss can gain little; a convention, not a measurement"),
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
        "Squared error on one-hot labels (the Brier score) and one-vs-all are valid: INFO if the training learns.",
    ),
    sources=(
        "Hui & Belkin 2021 (arXiv 2006.07322): squared error can match cross-entropy, so a problem requires harm.",
    ),
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
