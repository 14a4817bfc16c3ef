"""The one definition of a run's verdict: healthy only on evidence, otherwise problems or inconclusive."""

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

# A watch looks at every one of the first twenty steps; before their end, most rules have nothing to compare.
FEWEST_STEPS: Final = 20
# The least share of a constant prediction's loss (or of the accuracy above chance) that counts as having learned.
LEARNED: Final = 0.25
# A loss that says "learned" and an accuracy that says "guessing" cannot both be right.
LOSS_LEARNED: Final = 0.5
ACCURACY_GUESSING: Final = 0.05

# A single large pass at the end may predict for any purpose; a validation comes back.
FEWEST_VALIDATIONS: Final = 2


def concluded(run: Run) -> Run:
    """Return the run with its verdict, what is missing for a better one, and what was learned.

    To be called once everything else of the run is known: its findings, its status and its result.
    """
    known = learning(run)
    missing = () if run.problems else tuple(dict.fromkeys(_missing(run, known)))
    verdict = Verdict.PROBLEMS if run.problems else Verdict.INCONCLUSIVE if missing else Verdict.HEALTHY
    return msgspec.structs.replace(run, verdict=verdict, missing=missing, learning=known)


def required(run: Run) -> float:
    """Return the share that has to be learned for this kind of task."""
    return LEARNED * achievable_share(run)


def _missing(run: Run, known: Learning) -> list[Missing]:
    lacks = [] if run.status in (Status.FINISHED, Status.RUNNING) else [Missing.END]
    if not measured(run):
        return [*lacks, Missing.ANYTHING]
    if any(experiment.outcome is Outcome.FAIL for experiment in run.experiments):
        lacks.append(Missing.CHECKS)
    if not steps(run) and not run.trials:
        return [*lacks, Missing.TRAINING if run.experiments else Missing.ANYTHING]
    if not run.trials and steps(run) < FEWEST_STEPS:
        return [*lacks, Missing.STEPS]
    return lacks + _learning_missing(run, known)


def _learning_missing(run: Run, known: Learning) -> list[Missing]:
    if known.train is None and known.validation is None:
        seen = any(len(values_of(run.curves.get(name))[1]) for name in (TRAIN_LOSS, TRAIN_ACCURACY))
        return [Missing.BASELINE if seen or run.trials else Missing.LOSS]
    lacks = []
    if known.train is not None and known.train < required(run):
        # Two networks that train against each other may well end at chance.
        lacks.append(Missing.BASELINE if adversarial(run) else Missing.LEARNING)
    if known.validation is not None and known.validation < required(run):
        lacks.append(Missing.GENERALIZATION)
    lacks += _unseen(run, known)
    if not lacks and _contradictory(known):
        lacks.append(Missing.AGREEMENT)
    return lacks


def _unseen(run: Run, known: Learning) -> list[Missing]:
    """What the program computed and the monitor could not read."""
    lacks = []
    validated = known.validation is not None or any(split_of(name) in ("val", "test") for name in run.curves.series)
    if not validated and len(run.events.of("unread_validation")) >= FEWEST_VALIDATIONS and not adversarial(run):
        lacks.append(Missing.VALIDATION)
    if run.events.of("unfinished_pass"):
        lacks.append(Missing.LAST_STEP)
    return lacks


def _contradictory(known: Learning) -> bool:
    """Whether loss and accuracy of the same data cannot both be right."""
    pairs = ((known.loss, known.accuracy), (known.validation_loss, known.validation_accuracy))
    return any(
        loss is not None
        and accuracy is not None
        and known.chance is not None
        and loss >= LOSS_LEARNED
        and (accuracy - known.chance) < ACCURACY_GUESSING * (1 - known.chance)
        for loss, accuracy in pairs
    )
