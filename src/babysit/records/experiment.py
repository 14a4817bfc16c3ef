"""Results of the experiments before training."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from babysit.records.curves import Series
from babysit.records.notebook import table
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

    def __repr__(self) -> str:
        return f"ExperimentResult({self.name}, {self.outcome}: {self.message})"

    def _repr_html_(self) -> str:
        rows = [("result", self.message), *((f"measured {name}", value) for name, value in self.measured.items())]
        rows += [(f"expected {name}", value) for name, value in self.expected.items()]
        return table(f"{self.name}: {self.outcome}", rows)
