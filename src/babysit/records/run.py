"""The run record: everything measured, recorded and judged about one training."""

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
from babysit.records.notebook import table
from babysit.records.secrets import WithoutSecrets
from babysit.records.trial import StageRange, Trial
from babysit.records.verdict import Crash, Learning, Missing, Verdict

# Incremented when older readers would misread the record; docs/decisions/ describes the changes.
# 2: verdict, missing and learning are stored with a run; 3: renamed fields and curves (records/upgrades.py).
VERSION = 3


class Status(StrEnum):
    """Status of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Software and hardware environment of a run."""

    python: str = ""
    torch: str = ""
    babysit: str = ""
    platform: str = ""
    device: str = ""
    threads: int = 0
    script: str = ""  # the program that was started; "" in a notebook or an interactive session
    code: str = ""  # a hash of that program's text
    commit: str = ""  # of its git repository, followed by "+" if files had changed since


class Overhead(msgspec.Struct, frozen=True, kw_only=True):
    """Monitoring overhead."""

    budget: float = 0.01  # allowed fraction of step time
    share: float = 0.0  # fraction of step time spent after the initial dense sampling
    seconds: float = 0.0  # in total, the dense sampling included
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
    verdict: Verdict = Verdict.INCONCLUSIVE  # from findings and learning progress: analysis/verdict.py
    missing: tuple[Missing, ...] = ()  # evidence that an inconclusive verdict lacks, most important first
    learning: Learning | None = None
    result: dict[str, float] = {}  # test/accuracy, test/loss, best_step, …
    artifacts: dict[str, str] = {}  # model, report: paths
    stop_reason: str = ""
    crash: Crash | None = None  # the exception that ended the program
    overhead: Overhead | None = None

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings of severity WARNING or ERROR, in rank order."""
        return tuple(finding for finding in self.findings if finding.severity != "INFO")

    @property
    def root_cause(self) -> Finding | None:
        """First alarm that no other explains, or None."""
        return next((finding for finding in self.problems if finding.explained_by is None), None)

    def experiment(self, name: str) -> ExperimentResult | None:
        """Return the result of an experiment by name, or None."""
        return next((experiment for experiment in self.experiments if experiment.name == name), None)

    def __repr__(self) -> str:
        found = ", ".join(f"{one.code} {one.name}" for one in self.problems) or str(self.verdict)
        return f"Run({self.id}: {self.kind}, {self.status}, {self.events.steps:,} steps, {found})"

    def _repr_html_(self) -> str:
        rows = [("status", self.status), ("verdict", self.verdict), ("steps", f"{self.events.steps:,}")]
        rows += [(f"{one.severity} {one.code}", f"{one.name}: {one.message}") for one in self.findings]
        rows += [(name, f"{value:.4g}") for name, value in self.result.items()]
        return table(f"Run {self.id} {self.name}".rstrip(), rows)
