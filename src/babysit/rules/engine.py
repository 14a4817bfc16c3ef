"""Evaluation of a run: applies the selected rules and ranks their findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from babysit.analysis.verdict import concluded
from babysit.records.finding import Evidence, Finding
from babysit.records.run import Run
from babysit.rules.ranking import rank
from babysit.rules.rule import Limits, Rule
from babysit.rules.selection import check_limits, limits_of, select_rules
from babysit.rules.tool.measurement_gap import RULE as MEASUREMENT_GAP


def has(run: Run, part: str) -> bool:
    """Check whether that part of the run holds any data."""
    if part == "layer_metrics":
        return len(run.layer_metrics.steps) > 0
    if part == "curves":
        return any(len(series) for series in run.curves.series.values())
    if part == "events":
        return bool(run.events.counts or run.events.kept)
    return bool(getattr(run, part))


def finding_of(rule: Rule, evidence: Evidence) -> Finding:
    """Build a finding from evidence; fields that the evidence leaves empty come from its rule."""
    return Finding(
        code=rule.code,
        name=rule.name,
        severity=evidence.severity or rule.severity,
        layers=evidence.layers,
        first_step=evidence.first_step,
        last_step=evidence.last_step,
        evidence=evidence.numbers,
        message=evidence.message or rule.why,
        recommendation=evidence.recommendation or rule.recommendation,
        fixes=evidence.fixes or rule.fixes,
        confidence=evidence.confidence,
    )


def run_rule(rule: Rule, run: Run, limits: Limits) -> list[Finding]:
    """Return the findings of one rule; a rule that fails gives one finding about the tool, never an exception."""
    if not all(has(run, part) for part in rule.needs):
        return []
    try:
        return [finding_of(rule, evidence) for evidence in rule.find(run, limits)]
    except Exception as problem:  # a failing rule must never stop a training or hide the findings of others
        message = (
            f"The rule {rule.code} {rule.name} could not be applied to this run ({type(problem).__name__}: {problem})."
        )
        numbers: dict[str, float | int | str | bool] = {"rule": rule.code, "error": type(problem).__name__}
        return [finding_of(MEASUREMENT_GAP, Evidence(numbers=numbers, message=message))]


def judge(
    run: Run,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    limits: Mapping[str, Mapping[str, float]] | None = None,
    early_only: bool = False,
) -> tuple[Finding, ...]:
    """Return all findings of a run, the most important first; symptoms name the cause that explains them.

    Args:
        run: the record; missing parts only disable the rules that need them.
        select: codes, code prefixes or names of the rules to apply; all when empty.
        ignore: the same for rules to leave out.
        early_only: apply only the rules that are valid before the end of a training.
        limits: thresholds by rule code or name that replace the rule's own, such as `{"A401": {"share": 0.3}}`.

    Raises:
        UserError: for a code, name or threshold that does not exist.
    """
    overrides = check_limits(limits or {})
    found: list[Finding] = []
    for rule in select_rules(tuple(select), tuple(ignore)):
        if early_only and not rule.early:
            continue
        found += run_rule(rule, run, limits_of(rule, overrides))
    return rank(found)


def judged(
    run: Run,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    limits: Mapping[str, Mapping[str, float]] | None = None,
) -> Run:
    """Return the run with its findings, verdict and learning results; arguments as for `judge`."""
    findings = judge(run, select=select, ignore=ignore, limits=limits)
    return concluded(msgspec.structs.replace(run, findings=findings))
