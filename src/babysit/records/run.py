"""A run: everything that was measured, recorded and judged about one training."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from babysit.records.anatomy import Anatomy
from babysit.records.curves import Curves
from babysit.records.dataprofile import DataProfile
from babysit.records.events import Events
from babysit.records.finding import Finding
from babysit.records.hiding import command_without_secrets, hide_in_addresses, value_without_secrets, without_secrets
from babysit.records.probe import ProbeResult
from babysit.records.trial import StageRange, Trial
from babysit.records.verdict import Crash, Learning, Missing, Verdict
from babysit.records.vitals import Vitals

# Raised when a record changes so that an older reader would misread it; docs/decisions/ says what changed.
VERSION = 2  # 2: verdict, missing and learning are kept with a run


class Status(StrEnum):
    """How a run ended, or that it has not."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where the run took place."""

    python: str = ""
    torch: str = ""
    babysit: str = ""
    platform: str = ""
    device: str = ""
    threads: int = 0
    script: str = ""  # the program that was started; "" in a notebook or an interactive session
    code: str = ""  # changes when that program's text changes
    commit: str = ""  # of the git repository around it, "+" behind it when files had changed since


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """What the watching cost."""

    budget: float = 0.01  # share of step time allowed
    share: float = 0.0  # share of step time spent once the dense beginning is over
    seconds: float = 0.0  # in all, the dense beginning included
    sampled_steps: int = 0
    steps: int = 0
    every: int = 1  # steps between two samples at the end


class Run(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One training, from what it was to what was found."""

    id: str
    version: int = VERSION
    name: str = ""
    kind: str = "watch"  # watch, fit, search, routine, check
    status: Status = Status.RUNNING
    created: str = ""  # ISO 8601, UTC
    ended: str = ""
    command: str = ""
    environment: Environment = Environment()
    config: dict[str, float | int | str | bool] = {}
    anatomy: Anatomy | None = None
    data: DataProfile | None = None
    vitals: Vitals = msgspec.field(default_factory=Vitals)
    curves: Curves = msgspec.field(default_factory=Curves)
    probes: tuple[ProbeResult, ...] = ()
    events: Events = Events()
    trials: tuple[Trial, ...] = ()
    ranges: tuple[StageRange, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: Verdict = Verdict.INCONCLUSIVE  # of the findings and of what was learned: analysis/verdict.py
    missing: tuple[Missing, ...] = ()  # what an inconclusive verdict lacks, the most important first
    learning: Learning | None = None
    result: dict[str, float] = {}  # accuracy/test, loss/test, best_step, …
    artifacts: dict[str, str] = {}  # model, report: paths
    stop_reason: str = ""
    crash: Crash | None = None  # what ended a program that crashed
    overhead: Overhead | None = None

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that count: WARNING and ERROR, in rank order."""
        return tuple(finding for finding in self.findings if finding.severity != "INFO")

    @property
    def diagnosis(self) -> Finding | None:
        """The first alarm that no other explains, or None."""
        return next((finding for finding in self.alarms if finding.explained_by is None), None)

    def probe(self, name: str) -> ProbeResult | None:
        """The result of that probe, or None."""
        return next((probe for probe in self.probes if probe.name == name), None)


def run_without_secrets(run: Run) -> Run:
    """The run, secrets left out of its command, settings and other texts; the same object when there are none."""
    found: dict[str, Any] = {
        "name": hide_in_addresses(run.name),
        "command": command_without_secrets(run.command),
        "config": {name: value_without_secrets(name, value) for name, value in run.config.items()},
        "stop_reason": without_secrets(run.stop_reason),
        "artifacts": {name: hide_in_addresses(place) for name, place in run.artifacts.items()},
    }
    changed = {name: value for name, value in found.items() if value != getattr(run, name)}
    return msgspec.structs.replace(run, **changed) if changed else run
