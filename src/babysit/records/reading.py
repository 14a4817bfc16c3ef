"""The boundary to files that others wrote: whatever is wrong with one ends as one line that names it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from babysit.records.errors import UserError

_LONGEST = 200  # letters of what a library says


@contextmanager
def reading(what: str, where: str | Path, *, do: str = "") -> Iterator[None]:
    """Turn everything that goes wrong while a file is read into a UserError: "this is not WHAT", or "cannot be read".

    Libraries that parse raise whatever they meet (ValueError, KeyError, RecursionError, OverflowError, …): a list of
    them is never complete.
    """
    try:
        yield
    except UserError as problem:
        raise type(problem)(_line(problem.what), where=problem.where or str(where), do=problem.do or do) from problem
    except OSError as problem:
        said = _line(problem.strerror or str(problem))
        raise UserError(f"the file cannot be read: {said}", where=str(where), do=do) from problem
    except MemoryError as problem:
        raise UserError("to read this file takes more memory than there is", where=str(where), do=do) from problem
    except RecursionError as problem:
        raise UserError("this file is nested too deeply to be read", where=str(where), do=do) from problem
    except Exception as problem:
        said = _line(str(problem)) or type(problem).__name__
        raise UserError(f"this is not {what}: {said}", where=str(where), do=do) from problem


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def require_file(path: Path, *, most_bytes: int) -> None:
    """Raise UserError for a pipe, a device or a folder, which could be read without end, and for a file too large.

    Raises OSError where there is nothing.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise UserError("this is not a regular file", where=str(path), do="Give a file")
    if facts.st_size > most_bytes:
        raise UserError(f"this file has {facts.st_size:,} bytes, and at most {most_bytes:,} are read", where=str(path))
