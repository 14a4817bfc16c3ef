"""What goes wrong with a database, in words, and whether it may go well a moment later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from babysit.records.errors import UserError
from babysit.records.serialization import NewerError

_LONGEST: Final = 200  # letters of what a library says


def _code(problem: BaseException) -> str:
    origin = getattr(problem, "orig", None) or problem
    return str(getattr(origin, "sqlite_errorname", "")) if isinstance(origin, sqlite3.Error) else ""


def is_busy(problem: BaseException) -> bool:
    """Whether others were writing for so long that our turn did not come."""
    # https://www.postgresql.org/docs/current/errcodes-appendix.html: lock_not_available
    state = getattr(getattr(problem, "orig", None) or problem, "sqlstate", "")
    return _code(problem).startswith("SQLITE_BUSY") or state == "55P03"


def is_transient(problem: BaseException) -> bool:
    """Whether the same may go well a moment later: another program was writing, or made the tables first."""
    origin = getattr(problem, "orig", None) or problem
    if isinstance(origin, sqlite3.Error):
        return is_busy(problem)
    return isinstance(problem, sa.exc.ProgrammingError | sa.exc.IntegrityError)


def to_user_error(problem: BaseException, label: str) -> UserError:
    """What to say to the user, and what to do."""
    code = _code(problem)
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return UserError(
            "this file is not a store, or it is damaged", where=label, do="Move it aside, or name another place"
        )
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return unwritable(Path(label), reason(problem))
    if code.startswith("SQLITE_BUSY"):
        return UserError("another program holds the store", where=label, do="Wait for it to finish, then try again")
    if code.startswith("SQLITE_FULL"):
        return UserError("there is no room left for the store", where=label, do="Free some disk space")
    return UserError(f"the store cannot be used: {reason(problem)}", where=label, do="Look whether it can be reached")


def reason(problem: BaseException) -> str:
    """What went wrong, in the database's own words, on one line."""
    origin = getattr(problem, "orig", None) or problem
    return " ".join(str(origin).split()) or type(origin).__name__


class UnreadableError(UserError):
    """What is kept of one run is damaged; the other runs of the store are not."""


@contextmanager
def decoding(run_id: str, label: str) -> Iterator[None]:
    """The one boundary between the rows of a run and the records made of them: whatever is wrong in them is told."""
    try:
        yield
    except NewerError:
        raise
    except Exception as problem:
        what = problem.what if isinstance(problem, UserError) else " ".join(str(problem).split())[:_LONGEST]
        raise UnreadableError(
            f"what is kept of run {run_id} is damaged and cannot be read: {what or type(problem).__name__}",
            where=label,
            do="The other runs are not touched by it. Bring a copy of the store back, or delete the run: "
            f"babysit runs delete {run_id}",
        ) from problem


class UnwritableError(UserError):
    """A place where nothing can be kept."""


def unwritable(path: Path, reason: str) -> UnwritableError:
    """What to say of a place that takes nothing."""
    return UnwritableError(
        f"runs cannot be kept here: {reason}",
        where=str(path),
        do="Make it writable, or name another place for the store",
    )
