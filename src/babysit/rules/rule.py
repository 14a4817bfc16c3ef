"""Definition of a rule: a problem, the function that detects it, and its fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run

Limits = Mapping[str, float]
Find = Callable[[Run, Limits], Iterator[Evidence]]
Example = Callable[[], Run]
Part = Literal["model_summary", "curves", "data", "events", "experiments", "layer_metrics"]


@final
@dataclass(frozen=True)
class Limit:
    """A threshold and the source of its value."""

    value: float
    source: str


@final
@dataclass(frozen=True, kw_only=True)
class Rule:
    """A problem: its description and a pure function that detects it in a run."""

    code: str
    name: str  # of the problem, never of the fix
    severity: Severity  # unless the evidence says otherwise
    what: str  # what it detects, one sentence
    why: str  # why it matters
    recommendation: str  # what to do, imperative
    find: Find
    needs: tuple[Part, ...] = ()  # parts of the run that the rule requires
    fixes: tuple[Fix, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    causes: tuple[str, ...] = ()  # codes of the symptoms that it explains
    fallback: bool = False  # a guess by exclusion: dropped if another finding explains it
    early: bool = False  # valid during training: later steps do not invalidate its evidence
    false_positives: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    stage: Literal["preview", "stable"] = "preview"  # stable once its false positive rate is measured
    fires_on: tuple[Example, ...] = ()
    silent_on: tuple[Example, ...] = ()

    @property
    def family(self) -> str:
        """Return the first letter of the code."""
        return self.code[0]
