"""Entry point of `babysit`: dispatches commands and converts exceptions to messages and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from cyclopts import App, CycloptsError

from babysit import __version__
from babysit.cli.catalogue import COMMANDS, examples_of, help_of
from babysit.records.errors import UserError
from babysit.records.secrets import without_secrets

# Conventions of shells: 128 + the number of the signal that ended the program.
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
# Errors that the user can fix: no space or quota left, no permission, read-only, file instead of folder, the reverse.
FIXABLE: Final = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
)

app = App(
    name="babysit",
    help="Monitor the training of a PyTorch model, find the most likely root cause of problems, and suggest a fix.",
    version=__version__,
    help_format="markdown",
    suppress_keyboard_interrupt=False,  # handled below, with what was saved
)
for _index, _command in enumerate(COMMANDS):
    # By name: the module of a command is imported when the command is called.
    app.command(
        f"babysit.cli.{_command.name}:{'app' if _command.has_parts else _command.name}",
        name=_command.name,
        help=help_of(_command),
        sort_key=_index,
        **({} if _command.has_parts else {"help_epilogue": examples_of(_command)}),
    )


def main(tokens: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code: 0 no findings, 1 findings, 2 error."""
    words = list(sys.argv[1:] if tokens is None else tokens)
    try:
        code = _call(words)
        if callable(code):
            code()  # a watched script; its end ends the process
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or Python reports the broken pipe again at exit
        code = BROKEN_PIPE
    sys.exit(code)


def _call(words: list[str]) -> int | Callable[[], NoReturn]:
    from babysit.cli.terminal import say_problem

    log, shown = logging.getLogger("babysit"), _Shown()
    if words[:1] != ["watch"]:  # what a watched script logs is its own concern, as in plain Python
        log.addHandler(shown)
    try:
        result = app(
            prepare_tokens(words),
            result_action="return_value",
            exit_on_error=False,
            print_error=False,
            help_on_error=False,
        )
    except UserError as problem:
        say_problem(problem)
        return 2
    except CycloptsError as problem:
        say_problem(f"{problem} Try `babysit --help`." if not words else problem)
        return 2
    except KeyboardInterrupt as interrupt:
        say_problem(str(interrupt) or "stopped; nothing was recorded")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as problem:
        say_problem(_unexpected(problem))
        return 2
    finally:
        log.removeHandler(shown)
    return result if isinstance(result, int) or callable(result) else 0


class _Shown(logging.Handler):
    """Show what the package logs as one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        from babysit.cli.terminal import say_problem

        say_problem(record.getMessage())


def prepare_tokens(words: list[str]) -> list[str]:
    """Prepare the command line for cyclopts.

    Insert `--` before the script of `babysit watch`, so that the rest belongs to the script, and complete a bare
    `--resume` with `latest`.
    """
    if words[:1] == ["watch"]:
        return _script_after_dashes(words)
    if "--resume" in words and words[0] in ("run", "search"):
        after = words.index("--resume") + 1
        if after == len(words) or words[after].startswith("-"):
            return [*words[:after], "latest", *words[after:]]
    return words


def _script_after_dashes(words: list[str]) -> list[str]:
    takes = {
        name: argument.token_count()[0]
        for argument in app["watch"].assemble_argument_collection()
        for name in argument.names
    }
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        if words[at] == "--":
            return words
        at += 1 if "=" in words[at] else 1 + takes.get(words[at], 0)
    return [*words[:at], "--", *words[at:]] if at < len(words) else words


def _unexpected(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno in FIXABLE:
        location = f" ({problem.filename})" if problem.filename else ""
        return f"{problem.strerror}{location}"
    name = type(problem).__name__
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="babysit-traceback-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(without_secrets("".join(traceback.format_exception(problem))))
    except OSError:
        return f"{name}: {problem}. This is a bug in babysit; the traceback could not be saved"
    return f"{name}: {problem}. This is a bug in babysit; the full traceback is in {file.name}"
