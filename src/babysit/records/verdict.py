"""The verdict of a run, its learning progress, and evidence that a verdict lacks."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from babysit.records.secrets import WithoutSecrets


class Verdict(StrEnum):
    """Overall verdict of a run."""

    HEALTHY = "healthy"  # no alarm, and the run was measured to learn
    PROBLEMS = "problems"  # at least one WARNING or ERROR
    INCONCLUSIVE = "inconclusive"  # no alarm, and too little evidence; `Missing` says what


class Missing(StrEnum):
    """Missing evidence that keeps a run without alarms from being called healthy."""

    ANYTHING = "anything"  # no optimizer step, no loss, no check and no trial was seen
    END = "end"  # the program crashed, exited with an error or was interrupted
    STEPS = "steps"  # too few optimizer steps
    LOSS = "loss"  # neither training loss nor accuracy was recorded
    BASELINE = "baseline"  # the loss of a constant prediction is not known, and there is no accuracy
    LEARNING = "learning"  # hardly better than a constant prediction on the training data
    GENERALIZATION = "generalization"  # the same on the validation data
    VALIDATION = "validation"  # validation passes were seen, and neither a loss nor an accuracy could be read
    LAST_STEP = "last step"  # the last forward pass was not followed by a step, and its loss could not be read
    AGREEMENT = "agreement"  # loss and accuracy contradict each other
    CHECKS = "checks"  # a check before training failed
    TRAINING = "training"  # checks only: nothing was trained


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """Improvement of a run over the best constant prediction; None if not measured.

    Shares are 1 for perfect, 0 for no better than a constant, and negative for worse. `loss` and `validation_loss` are
    the fraction by which the loss of the best constant prediction was reduced. Accuracies are between 0 and 1.
    """

    loss: float | None = None
    validation_loss: float | None = None
    accuracy: float | None = None
    validation_accuracy: float | None = None
    score: float | None = None  # coefficient of determination (R²) of a regression, on test data if available
    chance: float | None = None  # accuracy of the best constant prediction
    steps: int = 0  # optimizer steps before the measurement
    train: float | None = None  # the best share on training data
    validation: float | None = None  # the best share on other data


class Crash(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True):
    """The exception that ended a program; of SystemExit, the message is what the program exited with."""

    TEXTS: ClassVar = ("message",)

    kind: str  # class of the exception; SystemExit for a program that exited with an error
    message: str = ""
    place: str = ""  # FILE:LINE of the innermost line of user code, or ""
