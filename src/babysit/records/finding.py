"""What was judged: a finding, its evidence, and the fixes it proposes."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from babysit.records.secrets import WithoutSecrets


class Severity(StrEnum):
    """How bad it is; WARNING and ERROR are alarms, INFO never is."""

    ERROR = "ERROR"  # training cannot work, or its result is wrong
    WARNING = "WARNING"  # training is hurt
    INFO = "INFO"  # worth knowing

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return ("ERROR", "WARNING", "INFO").index(self.value)


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """A fix in a form that a program can try."""

    action: str  # scale_lr, set_loss, remove_output_activation, initialize, replace_activation, stop_earlier, …
    target: str = ""  # the layer, parameter group or option it is about
    value: float | str | None = None
    say: str = ""  # the same in words, as an imperative
    code: str = ""  # a line or two of Python that do it


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule saw: where, when, and the numbers that made it fire."""

    layers: tuple[str, ...] = ()
    first_step: int | None = None
    last_step: int | None = None
    numbers: dict[str, float | int | str | bool] = {}
    message: str = ""  # one or two sentences with the numbers in them: what was seen and what it means
    recommendation: str = ""  # what to do now
    severity: Severity | None = None  # None: the rule's own
    confidence: float = 1.0  # 0 to 1
    fixes: tuple[Fix, ...] = ()


class Finding(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True):
    """One issue found in a run; the first that nothing explains is the diagnosis."""

    TEXTS: ClassVar = ("message", "recommendation")

    code: str
    name: str
    severity: Severity
    rank: int = 0  # from 1, the most important first
    explained_by: str | None = None  # code of the finding whose symptom this is
    layers: tuple[str, ...] = ()
    first_step: int | None = None
    last_step: int | None = None
    evidence: dict[str, float | int | str | bool] = {}
    message: str = ""
    recommendation: str = ""
    fixes: tuple[Fix, ...] = ()
    confidence: float = 1.0
