"""Error handling for external files: every failure becomes one line that names the file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from babysit.records.errors import UserError

_LONGEST = 200  # characters of a library's message


@contextmanager
def reading(what: str, where: str | Path, *, do: str = "") -> Iterator[None]:
    """Convert any exception while a file is read to a UserError: "this is not WHAT", or "cannot be read".

    Parsers raise exceptions of any type (ValueError, KeyError, RecursionError, OverflowError, …), so all are caught.
    """
    try:
        yield
    except UserError as problem:
        raise type(problem)(_line(problem.what), where=problem.where or str(where), do=problem.do or do) from problem
    except OSError as problem:
        reason = _line(problem.strerror or str(problem))
        raise UserError(f"the file cannot be read: {reason}", where=str(where), do=do) from problem
    except MemoryError as problem:
        raise UserError("not enough memory to read this file", where=str(where), do=do) from problem
    except RecursionError as problem:
        raise UserError("this file is nested too deeply to be read", where=str(where), do=do) from problem
    except Exception as problem:
        reason = _line(str(problem)) or type(problem).__name__
        raise UserError(f"this is not {what}: {reason}", where=str(where), do=do) from problem


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def require_file(path: Path, *, most_bytes: int) -> None:
    """Raise UserError for a pipe, a device, a folder or a file that is too large; OSError if it does not exist."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise UserError("this is not a regular file", where=str(path), do="Use a file")
    if facts.st_size > most_bytes:
        raise UserError(f"this file has {facts.st_size:,} bytes; the limit is {most_bytes:,}", where=str(path))
