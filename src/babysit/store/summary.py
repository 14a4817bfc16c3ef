"""Run summaries: the row of a run in lists, and its values for sorting and filtering."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from babysit.analysis.extent import steps_of
from babysit.analysis.trials import best_trial
from babysit.records.curves import VAL_ACCURACY, VAL_LOSS, Curves
from babysit.records.errors import UserError
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run, Status
from babysit.records.verdict import Verdict
from babysit.store.db_errors import decoding
from babysit.store.run_id import ProcessInfo, is_alive

# An idle writer sends a heartbeat every HEARTBEAT_SECONDS. Whether a process on another machine is alive cannot be
# checked; after ten missed heartbeats it counts as interrupted until the next one.
HEARTBEAT_SECONDS: Final = 60.0
SILENT_SECONDS: Final = 10 * HEARTBEAT_SECONDS

UNREADABLE: Final = "unreadable"
LONGEST_SHOWN: Final = 80

# The number a list shows: the first of these that the run has. A score on unseen data is the most informative.
_SCORES: Final = ("test/accuracy", "test/r2")
_CURVES: Final = ((VAL_ACCURACY, np.fmax), ("val/r2", np.fmax), (VAL_LOSS, np.fmin))


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of one run, as shown in lists."""

    id: str
    name: str = ""
    kind: str = ""
    status: str = Status.RUNNING  # or UNREADABLE
    created: str = ""  # ISO 8601, UTC
    ended: str = ""
    verdict: Verdict = Verdict.INCONCLUSIVE
    root_cause: str = ""  # code and name of the first finding that nothing explains
    steps: int = 0  # optimizer steps
    metric: float | None = None
    metric_name: str = ""  # name of `metric`: test/accuracy, the best val/accuracy, …
    tags: tuple[str, ...] = ()
    notes: str = ""
    bytes: int = 0  # size of its curves and layer metrics
    thinned: bool = False  # whether rows of them were left out
    problem: str = ""  # why it cannot be read; "" for a readable one


def best_values(curves: Curves, before: Mapping[str, float]) -> dict[str, float]:
    """Update the best values of the curves that can serve as the metric."""
    best = dict(before)
    for name, better in _CURVES:
        values = np.asarray(curves.get(name).values, dtype="float64")
        values = values[np.isfinite(values)]
        if len(values):
            found = float(better.reduce(values))
            best[name] = float(better(found, best.get(name, found)))
    return best


def metric_of(run: Run, best: Mapping[str, float]) -> tuple[str, float | None]:
    """Return name and value of the number shown for a run; ("", None) if it has none."""
    for name in _SCORES:
        if math.isfinite(run.result.get(name, math.nan)):
            return name, float(run.result[name])
    for name, _ in _CURVES:
        if name in best:
            return name, best[name]
    winner = best_trial(run)
    return ("best trial", winner.metric) if winner else ("", None)


def steps_in(rows: Curves | LayerMetrics) -> int:
    """Return the number of optimizer steps of these rows (steps count from 0)."""
    if isinstance(rows, Curves):
        return steps_of(rows)
    return int(np.max(rows.steps)) + 1 if len(rows.steps) else 0


def from_row(row: Mapping[str, Any]) -> RunSummary:
    """Build a summary from a row of the table `runs`; a running run whose process is gone is interrupted.

    SQLite accepts any value in any column, so every one is validated. Raises any exception on a damaged row.
    """
    fields = {name: row[name] for name in RunSummary.__struct_fields__ if name in row}
    converted = {"status": str(row["status"]), "tags": json.loads(row["tags"] or "[]"), "thinned": bool(row["thinned"])}
    line, status = msgspec.convert(fields | converted, RunSummary), status_now(row)
    if line.status == Status.RUNNING and status is Status.INTERRUPTED and line.verdict is Verdict.HEALTHY:
        line = msgspec.structs.replace(
            line, verdict=Verdict.INCONCLUSIVE
        )  # the last word of the program was an early one
    return msgspec.structs.replace(line, status=status)


def from_any_row(row: Mapping[str, Any], label: str) -> RunSummary:
    """Build a summary; a damaged row gives one with status `unreadable` and the reason."""
    name = id_in(row)
    try:
        with decoding(name, label):
            return from_row(row)
    except UserError as problem:
        return RunSummary(id=name, status=UNREADABLE, problem=problem.what)


def id_in(row: Mapping[str, Any]) -> str:
    """Return the ID of a row, also if it is not text."""
    return row["id"] if isinstance(row["id"], str) else repr(row["id"])[:LONGEST_SHOWN]


def status_now(row: Mapping[str, Any]) -> Status:
    """Return the current status: a running run whose process is gone is interrupted."""
    status = Status(row["status"])
    if status is not Status.RUNNING:
        return status
    alive = is_alive(ProcessInfo(row["machine"], row["process"], row["started"]))
    if alive is None:
        alive = time.time() - row["seen"] < SILENT_SECONDS
    return Status.RUNNING if alive else Status.INTERRUPTED
