"""Database errors as user messages, and whether they are transient."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from babysit.records.errors import UserError
from babysit.records.serialization import NewerError

_LONGEST: Final = 200  # characters of a library's message


def _code(problem: BaseException) -> str:
    origin = getattr(problem, "orig", None) or problem
    return str(getattr(origin, "sqlite_errorname", "")) if isinstance(origin, sqlite3.Error) else ""


def is_busy(problem: BaseException) -> bool:
    """Check whether the wait for other writers timed out."""
    # https://www.postgresql.org/docs/current/errcodes-appendix.html: lock_not_available
    state = getattr(getattr(problem, "orig", None) or problem, "sqlstate", "")
    return _code(problem).startswith("SQLITE_BUSY") or state == "55P03"


def is_transient(problem: BaseException) -> bool:
    """Check whether a retry may succeed: another program was writing, or created the tables first."""
    origin = getattr(problem, "orig", None) or problem
    if isinstance(origin, sqlite3.Error):
        return is_busy(problem)
    return isinstance(problem, sa.exc.ProgrammingError | sa.exc.IntegrityError)


def to_user_error(problem: BaseException, label: str) -> UserError:
    """Map a database error to a user message and a hint."""
    code = _code(problem)
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return UserError(
            "this file is not a store, or it is damaged", where=label, do="Move it away, or use another store"
        )
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return unwritable(Path(label), reason(problem))
    if code.startswith("SQLITE_BUSY"):
        return UserError("the store is locked by another program", where=label, do="Wait for it to finish, then retry")
    if code.startswith("SQLITE_FULL"):
        return UserError("no space left for the store", where=label, do="Free some disk space")
    return UserError(f"the store cannot be used: {reason(problem)}", where=label, do="Check that it is reachable")


def reason(problem: BaseException) -> str:
    """Return the database's own message on one line."""
    origin = getattr(problem, "orig", None) or problem
    return " ".join(str(origin).split()) or type(origin).__name__


class UnreadableError(UserError):
    """A damaged record of one run; other runs of the store are not affected."""


@contextmanager
def decoding(run_id: str, label: str) -> Iterator[None]:
    """Convert any error while rows of a run are decoded to UnreadableError."""
    try:
        yield
    except NewerError:
        raise
    except Exception as problem:
        what = problem.what if isinstance(problem, UserError) else " ".join(str(problem).split())[:_LONGEST]
        raise UnreadableError(
            f"the record of run {run_id} is damaged and cannot be read: {what or type(problem).__name__}",
            where=label,
            do="Other runs are not affected. Restore the store from a backup, or delete the run: "
            f"babysit runs delete {run_id}",
        ) from problem


class UnwritableError(UserError):
    """A location that cannot be written."""


def unwritable(path: Path, reason: str) -> UnwritableError:
    """Return the error for a location that cannot be written."""
    return UnwritableError(
        f"cannot write to the store: {reason}",
        where=str(path),
        do="Make it writable, or use another store",
    )
