"""Selection of rules and thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from babysit.records.errors import UserError
from babysit.rules.catalogue import RULES
from babysit.rules.rule import Limits, Rule


def _suggest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), n=1, cutoff=0.4)
    return f"Did you mean {near[0]}? " if near else ""


def find_rule(word: str) -> Rule:
    """Return the rule with that code or name (any case); raises UserError that suggests the closest match."""
    wanted = word.strip().lower()
    for rule in RULES:
        if wanted in (rule.code.lower(), rule.name):
            return rule
    known = [rule.name for rule in RULES] + [rule.code.lower() for rule in RULES]
    nearest = _suggest(wanted, known)
    raise UserError(f"there is no rule {word!r}", do=f"{nearest}`babysit rules` lists them all")


def matching(word: str) -> tuple[Rule, ...]:
    """Return the rules that a word selects: a code, a code prefix such as O or O2, a name, or ALL."""
    wanted = word.strip()
    if wanted.upper() == "ALL":
        return RULES
    started = tuple(rule for rule in RULES if wanted and rule.code.startswith(wanted.upper()))
    return started or (find_rule(word),)


def select_rules(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Return the selected rules (all when empty) without the ignored ones, in catalogue order."""
    wanted = {rule.code for word in select for rule in matching(word)} or {rule.code for rule in RULES}
    unwanted = {rule.code for word in ignore for rule in matching(word)}
    return tuple(rule for rule in RULES if rule.code in wanted - unwanted)


def limits_of(rule: Rule, overrides: Mapping[str, Mapping[str, float]]) -> Limits:
    """Return the thresholds of a rule: its defaults, overridden by those given under its code."""
    return {name: limit.value for name, limit in rule.limits.items()} | dict(overrides.get(rule.code, {}))


def check_limits(overrides: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the overrides keyed by code; raises UserError for an unknown rule or threshold, or a non-number."""
    checked: dict[str, dict[str, float]] = {}
    for word, values in overrides.items():
        rule = find_rule(word)
        for name, value in values.items():
            if name not in rule.limits:
                has = ", ".join(rule.limits) or "none"
                nearest = _suggest(name, rule.limits)
                raise UserError(f"{rule.code} has no limit {name!r}", do=f"{nearest}Its limits are: {has}")
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise UserError(f"the limit {name!r} of {rule.code} must be a number, not {value!r}")
            checked.setdefault(rule.code, {})[name] = float(value)
    return checked
