"""Pages of rules: complete, generated, and the same as those kept in docs/."""

from __future__ import annotations

from pathlib import Path

import pytest

from babysit.records.errors import UserError
from babysit.rules.catalogue import RULES
from babysit.rules.explain import explain, pages, write_pages

DOCS = Path(__file__).parents[2] / "docs" / "rules"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_page_holds_what_a_reader_needs(rule) -> None:
    text = explain(rule.code)
    wanted = [
        "## What it detects",
        "## Why it matters",
        "## How to fix it",
        "## Sources",
        rule.recommendation,
        rule.what,
    ]
    assert not [part for part in wanted if part not in text]
    assert all(f"`{name}` | {limit.value:g}" in text for name, limit in rule.limits.items())


def test_a_page_shows_what_the_rule_says_with_numbers() -> None:
    text = explain("double-softmax")
    assert "> ERROR O201 double-softmax: The loss gets softmax" in text
    assert "```python" in text


def test_a_name_that_does_not_exist_is_told() -> None:
    with pytest.raises(UserError, match="no rule"):
        explain("no-such-thing")


def test_pages_are_written_to_a_new_folder(tmp_path: Path) -> None:
    written = write_pages(tmp_path / "deep" / "rules")
    assert len(written) == len(RULES) + 1
    assert (tmp_path / "deep" / "rules" / "index.md").read_text().count("](") == len(RULES)


def test_the_kept_pages_are_those_that_the_rules_write() -> None:
    kept = {path.name: path.read_text() for path in DOCS.glob("*.md")}
    assert kept == pages(), "run babysit.rules.explain.write_pages(Path('docs/rules'))"
