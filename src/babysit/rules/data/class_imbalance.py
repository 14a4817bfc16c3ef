"""D107: one class is so frequent that always predicting it scores well."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.baseline import entropy
from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import values_of
from babysit.analysis.model_structure import adversarial, main_objective
from babysit.records.curves import TRAIN_ACCURACY
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective
from babysit.records.run import Run
from babysit.rules.examples import classes, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def _only_the_majority(run: Run, share: float, limits: Limits) -> bool:
    """Check whether the accuracy at the end of training is no better than that of the majority class."""
    batch = (main_objective(run) or Objective(loss="")).target.shape[:1] or (1,)
    _, seen = values_of(run.curves.get(TRAIN_ACCURACY))
    late = seen[len(seen) // 2 :] / (100 if len(seen) and seen.max() > 1.5 else 1)
    if len(late) < limits["looks"]:
        return False
    error = float(np.sqrt(share * (1 - share) / (len(late) * batch[0])))
    return float(late.mean()) < share + error


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the fraction of the most frequent class; a problem if the run learned little beyond it."""
    objective = main_objective(run)
    counts = objective.class_counts if objective is not None else ()
    total = sum(counts)
    if objective is None or adversarial(run) or total < limits["labels"] or sum(count > 0 for count in counts) < 2:
        return
    share = max(counts) / total
    if share < limits["share"]:
        return
    learned_little = not objective.class_weights and (
        is_underperforming(run, below=limits["skill"])
        or (is_underperforming(run) and _only_the_majority(run, share, limits))
    )
    yield Evidence(
        first_step=0,
        severity=Severity.WARNING if learned_little else Severity.INFO,
        numbers={"majority": share, "labels": total, "entropy": entropy(counts)},
        message=f"{100 * share:.1f} % of {total:,} labels are class {counts.index(max(counts))}: always predicting "
        f"it gives {100 * share:.1f} % accuracy without learning anything.",
        confidence=0.7,
    )


RULE = Rule(
    code="D107",
    name="class-imbalance",
    severity=Severity.WARNING,
    what="Label counts are so skewed that always predicting the majority class scores well.",
    why="The loss can be low and the accuracy high although only the majority class is predicted.",
    recommendation="Evaluate balanced accuracy or F1; weight the classes, or sample them evenly.",
    find=find,
    needs=("model_summary",),
    limits={
        "share": Limit(0.85, "a constant prediction has an accuracy of 85 %"),
        "labels": Limit(100, "too few labels to estimate class frequencies"),
        "looks": Limit(5, "too few batches to estimate the accuracy"),
        "skill": Limit(0.15, "less than 15 % better than a constant prediction"),
    },
    causes=("A406", "D108", "F902", "F905", "O210"),
    fixes=(
        Fix(
            action="weight_classes",
            say="Give rare classes a higher weight.",
            code="weights = counts.sum() / (len(counts) * counts)\nloss = F.cross_entropy(logits, y, weight=weights)",
        ),
    ),
    false_positives=("Imbalanced data that are learned: INFO.",),
    sources=("He & Garcia 2009, Learning from imbalanced data.",),
    fires_on=(lambda: example_run(objective=classes(class_counts=(950, 50), outputs=2), loss=flat(0.1985)),),
    silent_on=(healthy,),
)
