"""`babysit rules`: list of the rules."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from babysit.cli.options import Json
from babysit.cli.terminal import out, say

if TYPE_CHECKING:
    from babysit.rules.rule import Rule


def rules(
    *words: Annotated[str, Parameter(help="List only these rules: codes, code prefixes or names.")], json: Json = False
) -> int:
    """List the rules with code, name, severity and condition."""
    from babysit.rules.selection import select_rules

    shown = select_rules(words)
    if json:
        say(json_format.dumps([facts(rule) for rule in shown], indent=2))
        return 0
    table = Table("code", "name", "severity", "stage", "condition", box=None, pad_edge=False)
    for rule in shown:
        table.add_row(rule.code, rule.name, rule.severity, rule.stage, rule.what)
    out().print(table)
    say(f"\n{len(shown)} rules. `babysit explain CODE` explains why a rule matters and what to do.")
    return 0


def facts(rule: Rule) -> dict[str, Any]:
    """Return a rule as plain data, without functions."""
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.value,
        "stage": rule.stage,
        "what": rule.what,
        "why": rule.why,
        "recommendation": rule.recommendation,
        "needs": list(rule.needs),
        "causes": list(rule.causes),
        "false_positives": list(rule.false_positives),
        "limits": {name: {"value": limit.value, "source": limit.source} for name, limit in rule.limits.items()},
        "sources": list(rule.sources),
    }
