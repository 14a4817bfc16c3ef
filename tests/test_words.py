"""The words of the project: standard technical English in sources, texts and documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Home-made, medical or literary words, with the term to use instead.
INSTEAD = {
    "told": "reported",
    "mend": "fix",
    "mended": "fixed",
    "cure": "fix",
    "cures": "fixes",
    "disease": "issue",
    "diseases": "issues",
    "anew": "again",
    "by heart": "memorized",
    "so many": "the number of",
    "nobody": "no one, or the passive",
    "somebody": "a user, or the passive",
    "whatever": "any",
    "goes on": "continues",
    "went on": "continued",
    "foretold": "predicted",
    "vital signs": "layer metrics",
}
WORDS = re.compile(rf"\b({'|'.join(INSTEAD)})\b", re.IGNORECASE)
# Quoted outputs of trainings, which change when they are run again; names of the operating system.
LEFT_OUT = {"docs/lecture.md", "tools/postgres_server.py", "CHANGELOG.md"}
FILES = [
    path
    for pattern in ("src/**/*.py", "src/**/*.html", "tools/*.py", "docs/**/*.md", "*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.relative_to(ROOT).as_posix() not in LEFT_OUT
]


def test_there_are_files_to_read() -> None:
    assert len(FILES) > 400


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_uses_the_standard_terms(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [
        f"line {number}: {match[0]!r}, better {INSTEAD[match[0].lower()]!r}"
        for number, line in enumerate(lines, start=1)
        for match in WORDS.finditer(line)
    ]
    assert not found, "\n".join(found)
