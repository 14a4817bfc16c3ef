"""Comparison of runs as JSON."""

from __future__ import annotations

from typing import Any

from babysit.analysis.extent import measured
from babysit.records.serialization import to_json
from babysit.reporting.compare import Comparison
from babysit.reporting.diff import Row
from babysit.reporting.json_format import encodable


def compare_json(comparison: Comparison) -> str:
    """Return the comparison as indented JSON; values are formatted texts, `result` holds the numbers."""
    report: dict[str, Any] = {
        "summary": comparison.sentence,
        "runs": {
            label: {
                "id": run.id,
                "name": run.name,
                "kind": run.kind,
                "status": str(run.status),
                "verdict": run.verdict,
                "measured": measured(run),
                "problems": [finding.code for finding in run.problems],
                "result": run.result,
            }
            for label, run in zip(comparison.labels, comparison.runs, strict=True)
        },
        "outcome": [_row(row, comparison) for row in comparison.verdicts + comparison.results],
        "changes": {
            change.part: {
                "known": change.known,
                "differs": [_row(row, comparison) for row in change.rows],
                "left_out": change.left_out,
            }
            for change in comparison.changes
        },
        "unrecorded": list(comparison.unrecorded),
        "cautions": list(comparison.cautions),
    }
    return to_json(encodable(report))


def _row(row: Row, comparison: Comparison) -> dict[str, Any]:
    ahead = None if row.best is None else comparison.labels[row.best]
    return {"name": row.name, "values": dict(zip(comparison.labels, row.values, strict=True)), "ahead": ahead}
