"""Writes the pages that are made from the code, and checks that every page tells the truth.

`python -m babysit.testing.documents` writes them, with `--check` nothing is written: exit code 1 and one line for each
page that differs from the code, each link that leads nowhere, and each command or option that does not exist.
"""

from __future__ import annotations

import argparse
import ast
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Final

from cyclopts import CycloptsError

from babysit.metrics.catalogue import MEASURED_BY
from babysit.records.layer_metrics import METRICS
from babysit.rules import explain
from babysit.store import schema
from babysit.testing.markdown import Block, blocks, broken_links, pages_of

SCRIPT: Final = "babysit"
# What a reader may be told to type besides babysit, make and python; nothing is known of their options here.
OTHER_PROGRAMS: Final = frozenset({"cd", "git", "pip", "pre-commit"})
EXIT_CODES: Final = (
    "Exit codes: 0 for a verdict of healthy or inconclusive, 1 for problems (findings at or above `--fail-on`), 2 for "
    "wrong input, 130 stopped by Ctrl-C. A watched script that fails keeps its own. Under torchrun, accelerate launch, "
    "Slurm or MPI, `babysit watch` gives 1 for findings only where `--fail-on` stands on the command line."
)
AGAIN: Final = "`python -m babysit.testing.documents` writes it again"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages of the project in the working directory; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m babysit.testing.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is wrong")
    parser.add_argument("root", nargs="?", default=".", type=Path, help="folder of the project [.]")
    given = parser.parse_args(arguments)
    root = given.root.resolve()
    if not (root / "docs").is_dir():
        parser.error(f"there is no docs folder in {root}")
    if not given.check:
        write(root)
    wrong = [*outdated(root), *(line for page in pages_of(root) for line in untrue(page, root))]
    sys.stdout.write("".join(f"{line}\n" for line in wrong) or f"{len(pages_of(root))} pages are as the code is.\n")
    return int(bool(wrong))


@cache
def generated() -> dict[str, str]:
    """The pages that are made from the code, by their path in the project."""
    rules = {f"docs/rules/{name}": text for name, text in explain.pages().items()}
    return rules | {
        "docs/commands.md": commands_page(),
        "docs/layer_metrics.md": statistics_page(),
        "docs/store_schema.md": schema.describe(),
    }


def write(root: Path) -> None:
    """Write the generated pages, and delete those of rules that there are no more."""
    wanted = generated()
    for name, text in wanted.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for name in _left_over(root, wanted):
        (root / name).unlink()


def outdated(root: Path) -> Iterator[str]:
    """One sentence for each generated page that is missing, differs from the code, or belongs to nothing."""
    wanted = generated()
    for name, text in wanted.items():
        path = root / name
        if not path.exists():
            yield f"{name} is missing: {AGAIN}"
        elif path.read_text(encoding="utf-8") != text:
            yield f"{name} differs from the code, first in line {_first_difference(path, text)}: {AGAIN}"
    for name in _left_over(root, wanted):
        yield f"{name} belongs to no rule: delete it"


def untrue(page: Path, root: Path) -> Iterator[str]:
    """One sentence for each broken link of a page, and for each command in it that cannot be typed."""
    yield from broken_links(page)
    for block in blocks(page):
        if block.language == "python":
            yield from _not_python(block)
        elif block.language in ("console", "sh"):
            for command in block.commands:
                yield from (f"{block.where}: `{command}`: {why}" for why in _untypable(command, root))


def commands_page() -> str:
    """Every command with its options and examples, as Markdown."""
    cli = command_line()
    parts = ["# Commands", "", cli.app.help, "", EXIT_CODES, ""]
    for command in cli.COMMANDS:
        words = f"{SCRIPT} {command.name}"
        text = cli.app[command.name].generate_docs(heading_level=2, usage_name=words)
        examples = "\n".join(f"$ {line}" for line in command.examples)
        parts += [f"## {words}", *text.strip().splitlines()[1:]]  # its own heading lacks the program
        parts += ["", "**Examples**:", "", "```console", examples, "```", ""]
    return "\n".join(line.rstrip() for line in "\n".join(parts).splitlines()) + "\n"


def statistics_page() -> str:
    """Every statistic of the layer metrics, as Markdown."""
    often = {"always": "every sampled step", "rarely": "first sampled steps, then every eighth"}
    rows = [
        f"| `{name}` | {sentence} | `{MEASURED_BY[name][0]}` | {often[MEASURED_BY[name][1]]} |"
        for name, sentence in METRICS.items()
    ]
    head = ["| name | what it says | measured by (in `src/babysit/metrics/`) | when |", "|---|---|---|---|"]
    said = (
        "What is measured of every layer on a sampled step. What was not measured, and what is not defined (how "
        "samples differ in a batch of one, which units are dead before 256 samples were seen), is NaN."
    )
    return "\n".join(["# Statistics", "", said, "", *head, *rows]) + "\n"


def command_line() -> ModuleType:
    """The command line, entered by the door of its users: rooms of one floor do not import each other."""
    script: EntryPoint = entry_points(group="console_scripts")[SCRIPT]
    return import_module(script.module)


def _untypable(command: str, root: Path) -> Iterator[str]:
    program, *words = shlex.split(command)
    if program == SCRIPT:
        cli = command_line()
        try:
            if words and words[0] not in ("--help", "--version"):
                cli.app.parse_args(cli.hand_over(words), exit_on_error=False, print_error=False)
        except CycloptsError as problem:
            yield " ".join(str(problem).split())
    elif program == "make":
        text = (root / "Makefile").read_text(encoding="utf-8")
        yield from (f"the Makefile has no target {word}" for word in words if f"\n{word}:" not in text)
    elif program == "python":
        yield from (f"there is no {word}" for word in words[:1] if word.endswith(".py") and not (root / word).exists())
    elif program not in OTHER_PROGRAMS:
        yield f"nothing is known here of {program}"


def _not_python(block: Block) -> Iterator[str]:
    try:
        ast.parse(block.text)  # not compiled: advice may hold a `return` of the reader's own function
    except SyntaxError as problem:
        yield f"{block.where}: this is not Python: {problem.msg}"


def _left_over(root: Path, wanted: dict[str, str]) -> list[str]:
    there = (f"docs/rules/{path.name}" for path in (root / "docs" / "rules").glob("*.md"))
    return sorted(name for name in there if name not in wanted)


def _first_difference(path: Path, text: str) -> int:
    there, wanted = path.read_text(encoding="utf-8").splitlines(), text.splitlines()
    pairs = enumerate(zip(there, wanted, strict=False), 1)
    return next((line for line, (one, other) in pairs if one != other), min(len(there), len(wanted)) + 1)


if __name__ == "__main__":
    sys.exit(main())
