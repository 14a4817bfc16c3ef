"""From many findings to one story: what explains what, and which comes first."""

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
# Where two causes weigh the same, the family that causes real faults more often comes first: of 273 documented ones,
# output x loss x target is the most frequent by far, then data, learning rates and wiring; curves only tell that
# something is wrong (counts in docs/benchmarks/diagnosis.md).
FAMILY_ORDER: Final = "ODWIUNAGFST"


@cache
def consequences() -> Mapping[str, frozenset[str]]:
    """For each rule, everything it can lead to, through any number of steps."""
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
    # A remark never explains an alarm away: the diagnosis must be an alarm itself.
    hidden = cause.severity is Severity.INFO and symptom.severity is not Severity.INFO
    return not hidden and symptom.code in consequences().get(cause.code, frozenset())


def _weight(finding: Finding) -> float:
    return WEIGHT[finding.severity] * finding.confidence


def rank(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings in order of importance, symptoms under the cause that is shown for them.

    A cause weighs what it is plus half of what it explains; ties go to the family that errs more often, then to the
    earlier onset. A symptom that several causes explain goes to the heaviest, and always to a root, never to a middle.
    A guess by exclusion is withdrawn when a found cause explains it, and comes after every alarm that was measured.
    """
    guesses = {rule.code for rule in RULES if rule.fallback}
    told = list(findings)
    found = [one for one in told if one.code not in guesses or not any(_explains(other, one) for other in told)]
    roots = [one for one in found if not any(_explains(other, one) for other in found)]
    children = {id(root): [one for one in found if _explains(root, one)] for root in roots}

    def order(root: Finding) -> tuple[object, ...]:
        total = _weight(root) + SYMPTOM_SHARE * sum(_weight(child) for child in children[id(root)])
        family = FAMILY_ORDER.find(root.code[0])
        onset = root.first_step if root.first_step is not None else 0
        return (root.severity is Severity.INFO, root.code in guesses, -total, family, onset, root.code)

    ranked: list[tuple[Finding, str | None]] = []
    placed: set[int] = set()
    for root in sorted(roots, key=order):
        ranked.append((root, None))
        for child in sorted(children[id(root)], key=lambda one: (one.severity.rank, -one.confidence, one.code)):
            if id(child) not in placed:
                placed.add(id(child))
                ranked.append((child, root.code))
    # Alarms first as a whole, so that a reader never scrolls past remarks to an alarm; each keeps its cause.
    ranked.sort(key=lambda pair: pair[0].severity is Severity.INFO)
    return tuple(
        msgspec.structs.replace(finding, rank=place, explained_by=cause)
        for place, (finding, cause) in enumerate(ranked, start=1)
    )
