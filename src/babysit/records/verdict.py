"""What is known about a run as a whole: the verdict, what was learned, and what is missing for a verdict."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from babysit.records.secrets import WithoutSecrets


class Verdict(StrEnum):
    """Whether a run is known to be sound, known to have problems, or neither."""

    HEALTHY = "healthy"  # no alarm, and the run was measured to learn
    PROBLEMS = "problems"  # at least one WARNING or ERROR
    INCONCLUSIVE = "inconclusive"  # no alarm, and too little evidence; `Missing` says what


class Missing(StrEnum):
    """What keeps a run without alarms from being called healthy."""

    ANYTHING = "anything"  # no optimizer step, no loss, no check and no trial was seen
    END = "end"  # the program crashed, exited with an error or was interrupted
    STEPS = "steps"  # too few optimizer steps
    LOSS = "loss"  # no training loss and no accuracy was seen
    BASELINE = "baseline"  # a loss whose value for a constant prediction is not known, and no accuracy
    LEARNING = "learning"  # hardly better than a constant prediction on the training data
    GENERALIZATION = "generalization"  # the same on the validation data
    VALIDATION = "validation"  # validation passes were seen, and neither a loss nor an accuracy could be read
    LAST_STEP = "last step"  # the last forward pass was not followed by a step, and its loss could not be read
    AGREEMENT = "agreement"  # loss and accuracy contradict each other
    CHECKS = "checks"  # a check before training failed
    TRAINING = "training"  # checks alone: nothing was trained


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """How much better than the best constant prediction a run ended; None where it was not measured.

    Shares are 1 for perfect, 0 for no better than a constant, and negative for worse. `loss` and `validation_loss` are
    shares of the loss of the best constant prediction that was removed. Accuracies are between 0 and 1.
    """

    loss: float | None = None
    validation_loss: float | None = None
    accuracy: float | None = None
    validation_accuracy: float | None = None
    score: float | None = None  # coefficient of determination (R²) of a regression, on the data furthest from training
    chance: float | None = None  # accuracy of the best constant prediction
    steps: int = 0  # how many steps had been made when this was measured
    train: float | None = None  # the best share that training data show
    validation: float | None = None  # the best share that other data show


class Crash(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True):
    """The exception that ended a program; of SystemExit, the message is what the program exited with."""

    TEXTS: ClassVar = ("message",)

    kind: str  # class of the exception; SystemExit for a program that exited with an error
    message: str = ""
    place: str = ""  # FILE:LINE of the innermost line that belongs to the user, or ""
