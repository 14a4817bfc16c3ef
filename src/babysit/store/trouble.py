"""What goes wrong with a database, in words, and whether it may go well a moment later."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa

from babysit.records.problem import UserError


def _code(problem: BaseException) -> str:
    origin = getattr(problem, "orig", None) or problem
    return str(getattr(origin, "sqlite_errorname", "")) if isinstance(origin, sqlite3.Error) else ""


def is_busy(problem: BaseException) -> bool:
    """Whether others were writing for so long that our turn did not come."""
    # https://www.postgresql.org/docs/current/errcodes-appendix.html: lock_not_available
    state = getattr(getattr(problem, "orig", None) or problem, "sqlstate", "")
    return _code(problem).startswith("SQLITE_BUSY") or state == "55P03"


def passes(problem: BaseException) -> bool:
    """Whether the same may go well a moment later: another program was writing, or made the tables first."""
    origin = getattr(problem, "orig", None) or problem
    if isinstance(origin, sqlite3.Error):
        return is_busy(problem)
    return isinstance(problem, sa.exc.ProgrammingError | sa.exc.IntegrityError)


def told(problem: BaseException, label: str) -> UserError:
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


class UnwritableError(UserError):
    """A place where nothing can be kept."""


def unwritable(path: Path, reason: str) -> UnwritableError:
    """What to say of a place that takes nothing."""
    return UnwritableError(
        f"runs cannot be kept here: {reason}",
        where=str(path),
        do="Make it writable, or name another place for the store",
    )
