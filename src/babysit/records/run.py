"""A run: everything that was measured, recorded and judged about one training."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from babysit.records.curves import Curves
from babysit.records.dataprofile import DataProfile
from babysit.records.events import Events
from babysit.records.experiment import ExperimentResult
from babysit.records.finding import Finding
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.model_summary import ModelSummary
from babysit.records.secrets import WithoutSecrets
from babysit.records.trial import StageRange, Trial
from babysit.records.verdict import Crash, Learning, Missing, Verdict

# Raised when a record changes so that an older reader would misread it; docs/decisions/ says what changed.
# 2: verdict, missing and learning are kept with a run; 3: the names of fields and curves (records/upgrades.py).
VERSION = 3


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


class Run(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One training, from what it was to what was found."""

    TEXTS: ClassVar = ("name", "command", "config", "stop_reason", "artifacts")

    id: str
    version: int = VERSION
    name: str = ""
    kind: str = "watch"  # watch, fit, search, pipeline, check
    status: Status = Status.RUNNING
    created: str = ""  # ISO 8601, UTC
    ended: str = ""
    command: str = ""
    environment: Environment = Environment()
    config: dict[str, float | int | str | bool] = {}
    model_summary: ModelSummary | None = None
    data: DataProfile | None = None
    layer_metrics: LayerMetrics = msgspec.field(default_factory=LayerMetrics)
    curves: Curves = msgspec.field(default_factory=Curves)
    experiments: tuple[ExperimentResult, ...] = ()
    events: Events = Events()
    trials: tuple[Trial, ...] = ()
    ranges: tuple[StageRange, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: Verdict = Verdict.INCONCLUSIVE  # of the findings and of what was learned: analysis/verdict.py
    missing: tuple[Missing, ...] = ()  # what an inconclusive verdict lacks, the most important first
    learning: Learning | None = None
    result: dict[str, float] = {}  # test/accuracy, test/loss, best_step, …
    artifacts: dict[str, str] = {}  # model, report: paths
    stop_reason: str = ""
    crash: Crash | None = None  # what ended a program that crashed
    overhead: Overhead | None = None

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that count: WARNING and ERROR, in rank order."""
        return tuple(finding for finding in self.findings if finding.severity != "INFO")

    @property
    def root_cause(self) -> Finding | None:
        """The first alarm that no other explains, or None."""
        return next((finding for finding in self.problems if finding.explained_by is None), None)

    def experiment(self, name: str) -> ExperimentResult | None:
        """The result of that experiment, or None."""
        return next((experiment for experiment in self.experiments if experiment.name == name), None)
