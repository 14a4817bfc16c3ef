"""What came of a training: findings and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from babysit.pipeline.run_state import RunState, now
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.reporting.report import write_report

REPORT: Final = "report.html"


def finalize(journal: RunState, *, folder: Path, judge: Callable[[Run], Run] | None = None) -> Run:
    """Judge the whole run and write its report; gives the finished run.

    Raises UserError when the report cannot be written.
    """
    journal.keep(artifacts={**journal.run.artifacts, "report": str(folder / REPORT)})
    # Rules say less of a run that still goes on, so it is finished before it is judged.
    finished = (judge or judge_all)(msgspec.structs.replace(journal.reload(), status=Status.FINISHED, ended=now()))
    write_report(finished, folder / REPORT)
    parts = {name: getattr(finished, name) for name in ("findings", "verdict", "missing", "learning")}
    journal.finish("concluded", **parts, status=finished.status, ended=finished.ended)
    return journal.run


def judge_all(run: Run) -> Run:
    """Return the run with what every rule finds in it, and its verdict."""
    from babysit.rules.engine import judged

    return judged(run)


def make_folder(folder: Path) -> Path:
    """The folder, made. Raises UserError when that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(
            f"the run's folder cannot be made: {problem.strerror}", where=str(folder), do="Name another with --store"
        ) from problem
    return folder
