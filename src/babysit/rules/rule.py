"""One rule: what a issue is, how it is found, and how it is cured."""

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
    """One threshold, and where its value comes from."""

    value: float
    source: str


@final
@dataclass(frozen=True, kw_only=True)
class Rule:
    """One issue: facts about it, and one pure function that finds it in a run."""

    code: str
    name: str  # of the issue, never of the fix
    severity: Severity  # unless the evidence says otherwise
    what: str  # what is found, one sentence
    why: str  # why it hurts
    recommendation: str  # what to do, imperative
    find: Find
    needs: tuple[Part, ...] = ()  # parts of the run without which nothing can be said
    fixes: tuple[Fix, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    causes: tuple[str, ...] = ()  # codes of the symptoms that it explains
    fallback: bool = False  # a guess for want of anything better: withdrawn when a found cause explains it
    early: bool = False  # can be told while training goes on: more steps do not turn its evidence
    false_positives: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    stage: Literal["preview", "stable"] = "preview"  # stable once its false alarms are measured
    fires_on: tuple[Example, ...] = ()
    silent_on: tuple[Example, ...] = ()

    @property
    def family(self) -> str:
        """The letter that its code starts with."""
        return self.code[0]
