"""Results of the experiments before training."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from babysit.records.curves import Series
from babysit.records.secrets import WithoutSecrets


class Outcome(StrEnum):
    """How an experiment ended."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class ExperimentResult(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One experiment: measured against expected, in numbers and in one sentence."""

    TEXTS: ClassVar = ("message",)

    name: str  # initial-loss, overfit-tiny, lr-range, …
    outcome: Outcome
    measured: dict[str, float] = {}
    expected: dict[str, float] = {}
    message: str = ""  # interpretation and recommendation, one or two sentences
    curves: dict[str, Series] = {}  # the x axis is "steps", or the learning rates in curves["lr"]
    seconds: float = 0.0
