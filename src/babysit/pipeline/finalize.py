"""Final stage of the pipeline: findings and report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from babysit.monitor.monitor import now
from babysit.pipeline.run_state import RunState
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.reporting.report import write_report

REPORT: Final = "report.html"


def finalize(state: RunState, *, folder: Path, judge: Callable[[Run], Run] | None = None) -> Run:
    """Judge the run, write its report and return the finished run.

    Raises UserError if the report cannot be written.
    """
    state.update(artifacts={**state.run.artifacts, "report": str(folder / REPORT)})
    # Rules report less on a running run, so it is finished before it is judged.
    finished = (judge or judge_all)(msgspec.structs.replace(state.reload(), status=Status.FINISHED, ended=now()))
    write_report(finished, folder / REPORT)
    parts = {name: getattr(finished, name) for name in ("findings", "verdict", "missing", "learning")}
    state.finish("concluded", **parts, status=finished.status, ended=finished.ended)
    return state.run


def judge_all(run: Run) -> Run:
    """Return the run with the findings of all rules and its verdict."""
    from babysit.rules.engine import judged

    return judged(run)


def make_folder(folder: Path) -> Path:
    """Create the folder and return it. Raises UserError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(
            f"cannot create the run's folder: {problem.strerror}", where=str(folder), do="Set another with --store"
        ) from problem
    return folder
