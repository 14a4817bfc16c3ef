"""The files about the project itself: its version, its issue forms and what they ask readers to type."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import babysit
from tools import documents

ROOT = Path(__file__).resolve().parents[2]
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == babysit.__version__
    assert project["authors"] == citation["authors"]


def test_there_is_a_form_for_bugs_false_alarms_and_missed_problems() -> None:
    assert [path.stem for path in FORMS] == ["bug", "false_alarm", "missed_problem"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_an_issue_form_asks_for_the_run_by_commands_that_exist(form: Path) -> None:
    asked = yaml.safe_load(form.read_text())
    assert asked["name"]
    assert asked["description"]
    fields = [field["id"] for field in asked["body"]]
    assert len(set(fields)) == len(fields) >= 3
    commands = re.findall(r"`(babysit [^`]+)`", form.read_text())
    assert any(command.startswith("babysit runs export") for command in commands)
    assert [why for command in commands for why in documents.untypable(command, ROOT)] == []


def test_the_changelog_sorts_what_is_new_by_category() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^### (.*)$", text, re.MULTILINE)[:4] == ["Added", "Changed", "Fixed", "Removed"]
    entries = re.findall(r"^- .*(?:\n  .*)*", text, re.MULTILINE)
    assert len(set(entries)) == len(entries)


PLACEHOLDERS = {"NAME.py", "train.py", "script.py", "mine.py", "file.py", "my_model.py", "score.py", "model.py"}


@pytest.mark.parametrize("folder", ["docs", "src", "README.md", "CONTRIBUTING.md"])
def test_every_python_file_that_a_document_or_a_comment_names_exists(folder: str) -> None:
    """A renamed file leaves its old name in prose, where no import fails."""
    known = {
        path.name
        for room in ("src", "tests", "tools", "benchmarks", "examples")
        for path in (ROOT / room).rglob("*.py")
    }
    top = ROOT / folder
    files = (
        [top] if top.is_file() else sorted({*top.rglob("*.py"), *top.rglob("*.md")} - {ROOT / "docs" / "lecture.md"})
    )
    unknown = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in files
        for name in re.findall(r"\b(\w+\.py)\b", path.read_text(encoding="utf-8"))
        if name not in known | PLACEHOLDERS
    }
    assert unknown == set()
