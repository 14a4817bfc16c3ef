"""Write the pages that are made from the code, and check that every page tells the truth.

`python -m tools.documents` writes them, with `--check` nothing is written: exit code 1 and one line for each
page that differs from the code, each link that leads nowhere, and each command or option that does not exist.
"""

from __future__ import annotations

import argparse
import ast
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from cyclopts import CycloptsError

from babysit.cli import app as cli
from babysit.cli.catalogue import COMMANDS
from babysit.metrics.catalogue import MEASURED_BY
from babysit.records.layer_metrics import METRICS
from babysit.rules import explain
from babysit.store import schema
from tools.markdown import Block, blocks, broken_links, pages_of

REGENERATE: Final = "`python -m tools.documents` regenerates it"
SCRIPT: Final = "babysit"
# Programs besides babysit, make and python that pages may use; their options are not checked.
OTHER_PROGRAMS: Final = frozenset({"cd", "git", "pip", "pre-commit"})
EXIT_CODES: Final = (
    "Exit codes: 0 for a verdict of healthy or inconclusive, 1 for problems (findings at or above `--fail-on`), 2 for "
    "invalid input, 130 after Ctrl-C. A watched script that fails keeps its exit code. Under torchrun, accelerate "
    "launch, Slurm or MPI, `babysit watch` returns 1 for findings only if `--fail-on` is given."
)
AGAIN: Final = "`python -m tools.documents` writes it again"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages of the project in the working directory; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is wrong")
    parser.add_argument("root", nargs="?", default=".", type=Path, help="folder of the project [.]")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    if not (root / "docs").is_dir():
        parser.error(f"there is no docs folder in {root}")
    if not options.check:
        write(root)
    wrong = [*outdated(root), *(line for page in pages_of(root) for line in errors_in(page, root))]
    sys.stdout.write("".join(f"{line}\n" for line in wrong) or f"{len(pages_of(root))} pages are up to date.\n")
    return int(bool(wrong))


@cache
def generated() -> dict[str, str]:
    """Return the generated pages by their path in the project."""
    rules = {f"docs/rules/{name}": text for name, text in explain.pages().items()}
    return rules | {
        "docs/commands.md": commands_page(),
        "docs/layer_metrics.md": statistics_page(),
        "docs/store_schema.md": schema.describe(),
    }


def write(root: Path) -> None:
    """Write the generated pages, and delete those of rules that no longer exist."""
    wanted = generated()
    for name, text in wanted.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for name in _left_over(root, wanted):
        (root / name).unlink()


def outdated(root: Path) -> Iterator[str]:
    """Yield one sentence for each generated page that is missing, outdated or obsolete."""
    wanted = generated()
    for name, text in wanted.items():
        path = root / name
        if not path.exists():
            yield f"{name} is missing: {REGENERATE}"
        elif path.read_text(encoding="utf-8") != text:
            yield f"{name} differs from the code, first in line {_first_difference(path, text)}: {REGENERATE}"
    for name in _left_over(root, wanted):
        yield f"{name} belongs to no rule: delete it"


def errors_in(page: Path, root: Path) -> Iterator[str]:
    """Yield one sentence for each broken link of a page, and each invalid command in it."""
    yield from broken_links(page)
    for block in blocks(page):
        if block.language == "python":
            yield from _not_python(block)
        elif block.language in ("console", "sh"):
            for command in block.commands:
                yield from (f"{block.where}: `{command}`: {why}" for why in untypable(command, root))


def commands_page() -> str:
    """Every command with its options and examples, as Markdown."""
    parts = ["# Commands", "", cli.app.help, "", EXIT_CODES, ""]
    for command in COMMANDS:
        words = f"{SCRIPT} {command.name}"
        text = cli.app[command.name].generate_docs(heading_level=2, usage_name=words)
        examples = "\n".join(f"$ {line}" for line in command.examples)
        parts += [f"## {words}", *text.strip().splitlines()[1:]]  # its own heading lacks the program
        parts += ["", "**Examples**:", "", "```console", examples, "```", ""]
    return "\n".join(line.rstrip() for line in "\n".join(parts).splitlines()) + "\n"


def statistics_page() -> str:
    """Describe every layer metric in Markdown."""
    often = {"always": "every sampled step", "rarely": "first sampled steps, then every eighth"}
    rows = [
        f"| `{name}` | {sentence} | `{MEASURED_BY[name][0]}` | {often[MEASURED_BY[name][1]]} |"
        for name, sentence in METRICS.items()
    ]
    head = ["| name | meaning | measured by (in `src/babysit/metrics/`) | when |", "|---|---|---|---|"]
    text = (
        "Metrics of each layer on a sampled step. Values that were not measured or are not defined (per-sample "
        "variation in a batch of one, dead units before 256 samples were seen) are NaN."
    )
    return "\n".join(["# Statistics", "", text, "", *head, *rows]) + "\n"


def untypable(command: str, root: Path) -> Iterator[str]:
    """Yield one sentence for each reason for which a command cannot be typed as it stands."""
    program, *words = shlex.split(command)
    if program == SCRIPT:
        try:
            if words and words[0] not in ("--help", "--version"):
                cli.app.parse_args(cli.prepare_tokens(words), exit_on_error=False, print_error=False)
        except CycloptsError as problem:
            yield " ".join(str(problem).split())
    elif program == "make":
        text = (root / "Makefile").read_text(encoding="utf-8")
        yield from (f"the Makefile has no target {word}" for word in words if f"\n{word}:" not in text)
    elif program == "python":
        yield from (f"there is no {word}" for word in words[:1] if word.endswith(".py") and not (root / word).exists())
    elif program not in OTHER_PROGRAMS:
        yield f"unknown program {program}"


def _not_python(block: Block) -> Iterator[str]:
    try:
        ast.parse(block.text)  # not compiled, since recommendations may have a `return` outside of a function
    except SyntaxError as problem:
        yield f"{block.where}: invalid Python: {problem.msg}"


def _left_over(root: Path, wanted: dict[str, str]) -> list[str]:
    existing = (f"docs/rules/{path.name}" for path in (root / "docs" / "rules").glob("*.md"))
    return sorted(name for name in existing if name not in wanted)


def _first_difference(path: Path, text: str) -> int:
    existing, wanted = path.read_text(encoding="utf-8").splitlines(), text.splitlines()
    pairs = enumerate(zip(existing, wanted, strict=False), 1)
    return next((line for line, (one, other) in pairs if one != other), min(len(existing), len(wanted)) + 1)


if __name__ == "__main__":
    sys.exit(main())
