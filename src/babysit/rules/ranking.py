"""Ranking of findings: assigns symptoms to root causes and orders the causes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

import msgspec

from babysit.records.finding import Finding, Severity
from babysit.rules.catalogue import RULES

# An error outweighs any two warnings; each explained symptom adds half of its own weight.
WEIGHT: Final = {Severity.ERROR: 3.0, Severity.WARNING: 1.0, Severity.INFO: 0.1}
SYMPTOM_SHARE: Final = 0.5
# Ties between causes go to the family that causes documented faults more often: of 273, output, loss and target are
# the most frequent by far, then data, learning rates and the training loop; loss curves only show that something is
# wrong (counts in docs/benchmarks/diagnosis.md).
FAMILY_ORDER: Final = "ODWIUNAGFST"


@cache
def consequences() -> Mapping[str, frozenset[str]]:
    """Return, for each rule, the codes of all its direct and indirect consequences."""
    direct = {rule.code: rule.causes for rule in RULES}

    def reach(code: str) -> frozenset[str]:
        seen: set[str] = set()
        waiting = list(direct.get(code, ()))
        while waiting:
            following = waiting.pop()
            if following not in seen:
                seen.add(following)
                waiting.extend(direct.get(following, ()))
        return frozenset(seen - {code})

    return {code: reach(code) for code in direct}


def _explains(cause: Finding, symptom: Finding) -> bool:
    # A note never explains a problem: the root cause must be a problem itself.
    hidden = cause.severity is Severity.INFO and symptom.severity is not Severity.INFO
    return not hidden and symptom.code in consequences().get(cause.code, frozenset())


def _weight(finding: Finding) -> float:
    return WEIGHT[finding.severity] * finding.confidence


def rank(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings in order of importance, symptoms after the cause that explains them.

    The weight of a cause is its own plus half of that of its symptoms; ties go to the more frequent family, then to
    the earlier onset. A symptom of several causes is assigned to the heaviest root cause. A fallback finding (a guess
    by exclusion) is dropped if another finding explains it, and ranks after every measured problem.
    """
    guesses = {rule.code for rule in RULES if rule.fallback}
    candidates = list(findings)
    found = [
        one for one in candidates if one.code not in guesses or not any(_explains(other, one) for other in candidates)
    ]
    roots = [one for one in found if not any(_explains(other, one) for other in found)]
    children = {id(root): [one for one in found if _explains(root, one)] for root in roots}

    def order(root: Finding) -> tuple[object, ...]:
        total = _weight(root) + SYMPTOM_SHARE * sum(_weight(child) for child in children[id(root)])
        family = FAMILY_ORDER.find(root.code[0])
        onset = root.first_step if root.first_step is not None else 0
        return (root.severity is Severity.INFO, root.code in guesses, -total, family, onset, root.code)

    ranked: list[tuple[Finding, str | None]] = []
    assigned: set[int] = set()
    for root in sorted(roots, key=order):
        ranked.append((root, None))
        for child in sorted(children[id(root)], key=lambda one: (one.severity.rank, -one.confidence, one.code)):
            if id(child) not in assigned:
                assigned.add(id(child))
                ranked.append((child, root.code))
    # All problems come before all notes; each keeps its cause.
    ranked.sort(key=lambda pair: pair[0].severity is Severity.INFO)
    return tuple(
        msgspec.structs.replace(finding, rank=position, explained_by=cause)
        for position, (finding, cause) in enumerate(ranked, start=1)
    )
