"""Markdown pages as a program reads them: their links, their code, and the commands that they tell the reader to type.

Pages follow GitHub's rules. A comment `<!-- invisible-code-block: python … -->` is code that is not shown, as in Sybil;
it makes what the rest of the page speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, final

from markdown_it import MarkdownIt
from markdown_it.token import Token

INVISIBLE: Final = re.compile(r"<!-- invisible-code-block: (\w+)\n(.*?)-->", re.DOTALL)
# A file of this project, said in passing: it has a folder of ours in front and nothing left open in it.
OWN_PATH: Final = re.compile(r"(?:src|tests|docs|examples|benchmarks)/[\w./-]*\w/?")


@final
@dataclass(frozen=True)
class Block:
    """One piece of code on a page."""

    page: Path
    line: int  # of its first line of code, from 1
    language: str
    text: str
    shown: bool = True

    @property
    def where(self) -> str:
        """`README.md, line 12`."""
        return f"{self.page.name}, line {self.line}"

    @property
    def commands(self) -> tuple[str, ...]:
        """What is typed after `$` or as a line of a `sh` block, without comments."""
        lines = self.text.splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")] if self.language == "console" else lines
        return tuple(words for line in typed if (words := line.partition(" #")[0].strip()) and words[0] != "#")

    @property
    def after_change(self) -> str:
        """What a `diff` leaves behind: its context and what it adds."""
        return "\n".join(line[1:] for line in self.text.splitlines() if not line.startswith("-"))


def pages_of(root: Path) -> tuple[Path, ...]:
    """The pages of a project: those beside its README and everything in docs, benchmarks and examples."""
    inner = (path for folder in ("docs", "benchmarks", "examples") for path in (root / folder).rglob("*.md"))
    return tuple(sorted([*root.glob("*.md"), *inner]))


def blocks(page: Path) -> Iterator[Block]:
    """The code of a page in its order, the invisible included."""
    for token in _tokens(page):
        first = token.map[0] + 1 if token.map else 1
        if token.type == "fence":
            yield Block(page, first + 1, token.info.strip(), token.content)
        elif token.type == "html_block" and (hidden := INVISIBLE.match(token.content)):
            yield Block(page, first + 1, hidden[1], hidden[2], shown=False)


def program_of(page: Path) -> str:
    """All Python of a page as one program: what is not shown first, then blocks and changed loops in their order."""
    pieces = [block for block in blocks(page) if block.language in ("python", "diff")]
    ordered = sorted(pieces, key=lambda block: block.shown)  # stable: the order of the page holds within each
    return "\n".join(block.after_change if block.language == "diff" else block.text for block in ordered)


def links(page: Path) -> Iterator[str]:
    """Where the links and images of a page lead."""
    for token in _inline(page):
        target = token.attrGet("href" if token.type == "link_open" else "src")
        if target:
            yield str(target)


def anchors(page: Path) -> frozenset[str]:
    """What can stand after `#` in a link to this page."""
    tokens = _tokens(page)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return frozenset(re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles)


def broken_links(page: Path) -> Iterator[str]:
    """One sentence for each relative link that leads nowhere, and each file of ours that is named and missing."""
    root = _root_of(page)
    for target in links(page):
        if ":" in target.partition("/")[0]:  # https:, mailto:
            continue
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        if not destination.exists():
            yield f"{page.name}: the link to {target} leads nowhere"
        elif anchor and anchor not in anchors(destination):
            yield f"{page.name}: {destination.name} has no heading #{anchor}"
    for token in _inline(page):
        if token.type == "code_inline" and OWN_PATH.fullmatch(token.content) and not (root / token.content).exists():
            yield f"{page.name}: there is no {token.content}"


def _root_of(page: Path) -> Path:
    """The folder of the project that a page belongs to: the nearest with a docs folder in it."""
    return next((folder for folder in page.parents if (folder / "docs").is_dir()), page.parent)


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def _inline(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()
