"""Verdict of a run: problems, healthy (only with evidence), or inconclusive."""

from __future__ import annotations

from typing import Final

import msgspec

from babysit.analysis.extent import measured, steps
from babysit.analysis.learning import achievable_share, learning
from babysit.analysis.loss_curve import values_of
from babysit.analysis.model_structure import adversarial
from babysit.records.curves import TRAIN_ACCURACY, TRAIN_LOSS, split_of
from babysit.records.experiment import Outcome
from babysit.records.run import Run, Status
from babysit.records.verdict import Learning, Missing, Verdict

# The first twenty steps are all sampled; with fewer, most rules cannot compare anything.
FEWEST_STEPS: Final = 20
# The least fraction of the baseline loss (or of the accuracy above chance) that counts as learned.
LEARNED: Final = 0.25
# A loss that shows learning and an accuracy at chance level are contradictory.
LOSS_LEARNED: Final = 0.5
ACCURACY_GUESSING: Final = 0.05

# A single large pass at the end may be a prediction; validation is repeated.
FEWEST_VALIDATIONS: Final = 2


def concluded(run: Run) -> Run:
    """Return the run with its verdict, the missing evidence, and the learning results.

    Requires that findings, status and result of the run are final.
    """
    known = learning(run)
    missing = () if run.problems else tuple(dict.fromkeys(_missing(run, known)))
    verdict = Verdict.PROBLEMS if run.problems else Verdict.INCONCLUSIVE if missing else Verdict.HEALTHY
    return msgspec.structs.replace(run, verdict=verdict, missing=missing, learning=known)


def required(run: Run) -> float:
    """Return the fraction that has to be learned for this kind of task."""
    return LEARNED * achievable_share(run)


def _missing(run: Run, known: Learning) -> list[Missing]:
    missing = [] if run.status in (Status.FINISHED, Status.RUNNING) else [Missing.END]
    if not measured(run):
        return [*missing, Missing.ANYTHING]
    if any(experiment.outcome is Outcome.FAIL for experiment in run.experiments):
        missing.append(Missing.CHECKS)
    if not steps(run) and not run.trials:
        return [*missing, Missing.TRAINING if run.experiments else Missing.ANYTHING]
    if not run.trials and steps(run) < FEWEST_STEPS:
        return [*missing, Missing.STEPS]
    return missing + _learning_missing(run, known)


def _learning_missing(run: Run, known: Learning) -> list[Missing]:
    if known.train is None and known.validation is None:
        seen = any(len(values_of(run.curves.get(name))[1]) for name in (TRAIN_LOSS, TRAIN_ACCURACY))
        return [Missing.BASELINE if seen or run.trials else Missing.LOSS]
    missing = []
    if known.train is not None and known.train < required(run):
        # Adversarial networks may end at chance level.
        missing.append(Missing.BASELINE if adversarial(run) else Missing.LEARNING)
    if known.validation is not None and known.validation < required(run):
        missing.append(Missing.GENERALIZATION)
    missing += _unseen(run, known)
    if not missing and _contradictory(known):
        missing.append(Missing.AGREEMENT)
    return missing


def _unseen(run: Run, known: Learning) -> list[Missing]:
    """Return evidence that the program computed but the monitor could not read."""
    missing = []
    validated = known.validation is not None or any(split_of(name) in ("val", "test") for name in run.curves.series)
    if not validated and len(run.events.of("unread_validation")) >= FEWEST_VALIDATIONS and not adversarial(run):
        missing.append(Missing.VALIDATION)
    if run.events.of("unfinished_pass"):
        missing.append(Missing.LAST_STEP)
    return missing


def _contradictory(known: Learning) -> bool:
    """Check whether loss and accuracy of the same data are contradictory."""
    pairs = ((known.loss, known.accuracy), (known.validation_loss, known.validation_accuracy))
    return any(
        loss is not None
        and accuracy is not None
        and known.chance is not None
        and loss >= LOSS_LEARNED
        and (accuracy - known.chance) < ACCURACY_GUESSING * (1 - known.chance)
        for loss, accuracy in pairs
    )
