"""One rule: what a disease is, how it is found, and how it is cured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run

Limits = Mapping[str, float]
Find = Callable[[Run, Limits], Iterator[Evidence]]
Example = Callable[[], Run]
Part = Literal["anatomy", "curves", "data", "events", "probes", "vitals"]


@final
@dataclass(frozen=True)
class Limit:
    """One threshold, and where its value comes from."""

    value: float
    source: str


@final
@dataclass(frozen=True, kw_only=True)
class Rule:
    """One disease: facts about it, and one pure function that finds it in a run."""

    code: str
    name: str  # of the disease, never of the cure
    severity: Severity  # unless the evidence says otherwise
    what: str  # what is found, one sentence
    why: str  # why it hurts
    advice: str  # what to do, imperative
    find: Find
    needs: tuple[Part, ...] = ()  # parts of the run without which nothing can be said
    treatments: tuple[Treatment, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    leads_to: tuple[str, ...] = ()  # codes of the symptoms that it explains
    by_exclusion: bool = False  # a guess for want of anything better: withdrawn when a found cause explains it
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
