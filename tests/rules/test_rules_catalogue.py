"""Every rule of the catalogue: listed, named, documented, firing where it says and silent where it says."""

from __future__ import annotations

from pathlib import Path

import pytest

import babysit.rules
from babysit.rules.catalogue import RULES
from babysit.rules.engine import run_rule
from babysit.rules.ranking import consequences
from babysit.rules.rule import Rule
from babysit.rules.selection import limits_of

ROOM = Path(babysit.rules.__file__).parent
by_code = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)


def test_every_rule_file_is_listed_and_named_after_its_disease() -> None:
    files = {path.stem for path in ROOM.glob("*/*.py") if "RULE = Rule(" in path.read_text()}
    assert files == {rule.name.replace("-", "_") for rule in RULES}


def test_codes_and_names_are_unique_and_in_order() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES) == len({rule.name for rule in RULES})
    for family in {rule.code[0] for rule in RULES}:
        codes = [rule.code for rule in RULES if rule.code[0] == family]
        assert codes == sorted(codes)


@by_code
def test_a_rule_says_why_what_to_do_and_where_it_errs(rule: Rule) -> None:
    assert rule.what.endswith(".")
    assert rule.why.endswith(".")
    assert rule.recommendation.endswith(".")
    assert rule.sources
    assert rule.false_positives or rule.code == "T001"
    assert rule.fixes or rule.code == "T001"
    assert all(limit.source for limit in rule.limits.values())
    assert rule.fires_on
    assert rule.silent_on


@by_code
def test_a_rule_fires_on_its_examples(rule: Rule) -> None:
    for build in rule.fires_on:
        found = run_rule(rule, build(), limits_of(rule, {}))
        assert [finding.code for finding in found][:1] == [rule.code], rule.code
        assert found[0].message
        assert found[0].recommendation
        # An alarm is an alarm in its own best example; INFO rules never are.
        assert found[0].code != "T001" or rule.code == "T001", found[0].message


@by_code
def test_a_rule_reaches_its_own_severity_on_an_example(rule: Rule) -> None:
    severities = {
        finding.severity for build in rule.fires_on for finding in run_rule(rule, build(), limits_of(rule, {}))
    }
    assert rule.severity in severities or (rule.severity == "WARNING" and "ERROR" in severities)


@by_code
def test_a_rule_raises_no_alarm_on_its_silent_examples(rule: Rule) -> None:
    for build in rule.silent_on:
        found = run_rule(rule, build(), limits_of(rule, {}))
        assert not [finding for finding in found if finding.severity != "INFO" or finding.code == "T001"]


def test_what_leads_to_what_is_known_and_has_no_circle() -> None:
    codes = {rule.code for rule in RULES}
    for rule in RULES:
        assert set(rule.causes) <= codes, rule.code
        for following in rule.causes:
            assert rule.code not in consequences()[following] | {following}, (rule.code, following)


def test_rules_are_judged_without_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, babysit.rules.engine as j; from babysit.rules.examples import healthy; j.judge(healthy());"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
