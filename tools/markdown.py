"""Reads Markdown pages: their links, their code, and the commands that readers are asked to run.

Pages follow GitHub's rules. A comment `<!-- invisible-code-block: python … -->` is hidden code, as in Sybil, which
provides the setup of the other code on the page.
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
OWN_PATH: Final = re.compile(r"(?:src|tests|docs|examples|benchmarks|tools)/[\w./-]*\w/?")


@final
@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: Path
    line: int  # of its first line of code, from 1
    language: str
    text: str
    shown: bool = True

    @property
    def where(self) -> str:
        """Return the location, such as `README.md, line 12`."""
        return f"{self.page.name}, line {self.line}"

    @property
    def commands(self) -> tuple[str, ...]:
        """Return the commands after `$`, or the lines of a `sh` block, without comments."""
        lines = self.text.splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")] if self.language == "console" else lines
        return tuple(words for line in typed if (words := line.partition(" #")[0].strip()) and words[0] != "#")

    @property
    def after_change(self) -> str:
        """Return the result of a `diff` block: its context and what it adds."""
        return "\n".join(line[1:] for line in self.text.splitlines() if not line.startswith("-"))


def pages_of(root: Path) -> tuple[Path, ...]:
    """Return the pages of a project: those in its root and all in docs, benchmarks and examples."""
    inner = (path for folder in ("docs", "benchmarks", "examples") for path in (root / folder).rglob("*.md"))
    return tuple(sorted([*root.glob("*.md"), *inner]))


def blocks(page: Path) -> Iterator[Block]:
    """Yield the code blocks of a page in order, including invisible ones."""
    for token in _tokens(page):
        first = token.map[0] + 1 if token.map else 1
        if token.type == "fence":
            yield Block(page, first + 1, token.info.strip(), token.content)
        elif token.type == "html_block" and (hidden := INVISIBLE.match(token.content)):
            yield Block(page, first + 1, hidden[1], hidden[2], shown=False)


def program_of(page: Path) -> str:
    """Return all Python of a page as one program: invisible blocks first, then blocks and diffs in order."""
    pieces = [block for block in blocks(page) if block.language in ("python", "diff")]
    ordered = sorted(pieces, key=lambda block: block.shown)  # stable: keeps the order of the page within each
    return "\n".join(block.after_change if block.language == "diff" else block.text for block in ordered)


def links(page: Path) -> Iterator[str]:
    """Yield the targets of the links and images of a page."""
    for token in _inline(page):
        target = token.attrGet("href" if token.type == "link_open" else "src")
        if target:
            yield str(target)


def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page, which may follow `#` in a link to it."""
    tokens = _tokens(page)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return frozenset(re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles)


def broken_links(page: Path) -> Iterator[str]:
    """Yield one sentence for each broken relative link, and each path of the project that does not exist."""
    root = _root_of(page)
    for target in links(page):
        if ":" in target.partition("/")[0]:  # https:, mailto:
            continue
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        if not destination.exists():
            yield f"{page.name}: the link to {target} is broken"
        elif anchor and anchor not in anchors(destination):
            yield f"{page.name}: {destination.name} has no heading #{anchor}"
    for token in _inline(page):
        if token.type == "code_inline" and OWN_PATH.fullmatch(token.content) and not (root / token.content).exists():
            yield f"{page.name}: there is no {token.content}"


def _root_of(page: Path) -> Path:
    """Return the project folder of a page: the nearest parent that contains a docs folder."""
    return next((folder for folder in page.parents if (folder / "docs").is_dir()), page.parent)


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def _inline(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()
