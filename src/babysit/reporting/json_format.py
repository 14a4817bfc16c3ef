"""Report of a run as JSON: verdict, findings in rank order, and the facts of the run."""

from __future__ import annotations

from typing import Any

import msgspec

from babysit.analysis.extent import measured, steps
from babysit.records.finding import Finding
from babysit.records.run import Run
from babysit.records.serialization import to_json
from babysit.reporting.verdict import verdict


def as_json(run: Run) -> str:
    """Return the report as indented JSON; NaN and infinities are the strings "nan", "inf", "-inf".

    `verdict` is "healthy", "problems" or "inconclusive"; for the last, `missing` lists the evidence that is missing.
    `learning` holds the measured learning.
    """
    findings = sorted(run.findings, key=lambda finding: finding.rank)
    report: dict[str, Any] = {
        "verdict": run.verdict,
        "status": run.status,
        "missing": run.missing,
        "learning": msgspec.to_builtins(run.learning),
        "measured": measured(run),
        "summary": verdict(run)._asdict(),
        "findings": [_finding(finding) for finding in findings],
        "run": _facts(run),
    }
    return to_json(encodable(report))


def _finding(finding: Finding) -> dict[str, Any]:
    first = ("code", "name", "severity", "rank", "explained_by", "layers", "first_step", "last_step", "evidence")
    names = [*first, "message", "recommendation", "confidence", "fixes"]
    plain = msgspec.to_builtins(finding)
    return {name: plain[name] for name in names}


def _facts(run: Run) -> dict[str, Any]:
    """Return metadata and results of the run, without the arrays (curves, layer metrics)."""
    names = ("id", "name", "kind", "status", "created", "ended", "command", "stop_reason", "config", "result")
    facts: dict[str, Any] = {name: getattr(run, name) for name in names}
    facts["artifacts"] = run.artifacts
    facts["steps"] = steps(run)
    facts["environment"] = msgspec.to_builtins(run.environment)
    facts["crash"] = msgspec.to_builtins(run.crash)
    facts["overhead"] = msgspec.to_builtins(run.overhead)
    facts["experiments"] = [
        {name: getattr(experiment, name) for name in ("name", "outcome", "measured", "expected", "message", "seconds")}
        for experiment in run.experiments
    ]
    facts["trials"] = msgspec.to_builtins(run.trials)
    facts["ranges"] = msgspec.to_builtins(run.ranges)
    return facts


def encodable(value: Any) -> Any:
    """Replace lone surrogates (from file names that are not UTF-8) by escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    return value
