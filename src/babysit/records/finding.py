"""Findings of rules, their evidence and proposed fixes."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from babysit.records.notebook import table
from babysit.records.secrets import WithoutSecrets


class Severity(StrEnum):
    """Severity of a finding; WARNING and ERROR are alarms, INFO is not."""

    ERROR = "ERROR"  # training cannot work, or its result is wrong
    WARNING = "WARNING"  # training is impaired
    INFO = "INFO"  # a note

    @property
    def rank(self) -> int:
        """Sort key: 0 for the most severe."""
        return ("ERROR", "WARNING", "INFO").index(self.value)


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """A machine-readable fix."""

    action: str  # scale_lr, set_loss, remove_output_activation, initialize, replace_activation, stop_earlier, …
    target: str = ""  # the layer, parameter group or option it changes
    value: float | str | None = None
    say: str = ""  # description as an imperative sentence
    code: str = ""  # one or two lines of Python that apply it


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of a rule: layers, steps and the numbers that made it fire."""

    layers: tuple[str, ...] = ()
    first_step: int | None = None
    last_step: int | None = None
    numbers: dict[str, float | int | str | bool] = {}
    message: str = ""  # one or two sentences: the numbers observed and what they mean
    recommendation: str = ""  # what to do
    severity: Severity | None = None  # None for the rule's default
    confidence: float = 1.0  # 0 to 1
    fixes: tuple[Fix, ...] = ()


class Finding(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True):
    """One issue found in a run; the first that nothing explains is the diagnosis."""

    TEXTS: ClassVar = ("message", "recommendation")

    code: str
    name: str
    severity: Severity
    rank: int = 0  # from 1, the most important first
    explained_by: str | None = None  # code of the finding that causes this one
    layers: tuple[str, ...] = ()
    first_step: int | None = None
    last_step: int | None = None
    evidence: dict[str, float | int | str | bool] = {}
    message: str = ""
    recommendation: str = ""
    fixes: tuple[Fix, ...] = ()
    confidence: float = 1.0

    def __repr__(self) -> str:
        return f"Finding({self.code} {self.name}, {self.severity}: {self.message})"

    def _repr_html_(self) -> str:
        rows = [("seen", self.message), ("fix", self.recommendation), *self.evidence.items()]
        return table(f"{self.severity} {self.code} {self.name}", rows)
