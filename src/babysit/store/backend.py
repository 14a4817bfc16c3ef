"""Where a store is: its database, opened and made ready, and where records wait while it cannot be written."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from babysit.records.errors import UserError
from babysit.store import fork_safety
from babysit.store.db_errors import is_transient, to_user_error, unwritable
from babysit.store.migrations import is_ready, prepare
from babysit.store.read_only import reading_engine, require_readable, text_or_bytes
from babysit.store.schema import SEGMENTS
from babysit.store.spool_paths import RUNS_FOLDER, SpoolPaths, for_file, for_server

DATABASE_NAME: Final = "babysit.sqlite"
VARIABLE: Final = "BABYSIT_STORE"
BOUND_VARIABLE: Final = "BABYSIT_MAX_RUN_SIZE"

# What a run may take: every row of most runs, and of one of a million steps under a hundred layers some 5,000 sampled
# steps, more than a page can show; read in well under a second (docs/benchmarks/store.md).
MEGABYTES: Final = 64.0

# Of those, what the rows themselves may be: measured, SQLite's file is 1.05 times as large, and has to grow while it is
# rewritten.
_ROWS_SHARE: Final = 0.9

# How long to wait for another writer; a transaction of ours takes milliseconds, so sixteen of them are through by then.
BUSY_SECONDS: Final = 5.0

_WRITES = "babysit_writes"


@dataclass(frozen=True)
class Backend:
    """A database that is ready to be used."""

    engine: Engine
    label: str  # how it is called in messages: a path, or a URL without its password
    spools: SpoolPaths  # where records wait
    file: Path | None = None  # the database, where it is a file of this machine
    unwritable: str = ""  # why it can only be read; "" for one that can be written
    most_bytes: float = math.inf  # what the curves and layer metrics of one run may take

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the store; raises UserError when it cannot be read."""
        try:
            with fork_safety.no_fork(), self.engine.connect() as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, sqlite3.Error, TimeoutError) as problem:
            raise to_user_error(problem, self.label) from problem

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes; raises UserError when that is impossible."""
        try:
            with fork_safety.no_fork(), self.connect_for_writing() as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, sqlite3.Error, TimeoutError) as problem:
            raise to_user_error(problem, self.label) from problem

    def give_back(self) -> None:
        """Makes what was deleted free for others: SQLite gives it to the disk, PostgreSQL to the rows to come."""
        missed = suppress(SQLAlchemyError, sqlite3.Error, TimeoutError)  # then the next time does it
        with missed, fork_safety.no_fork(), self.engine.connect() as connection:
            if self.file is not None:
                # As a script: a statement without rows is stepped once by Python, which frees one page.
                connection.connection.cursor().executescript("PRAGMA incremental_vacuum")
            elif connection.dialect.name == "postgresql":  # which does so by itself too, but minutes later
                connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(f"VACUUM {SEGMENTS.name}")

    def which_file(self) -> tuple[int, int] | None:
        """Which file is there now: SQLite would go on writing to one that was moved aside, and that nobody looks for.

        Raises FileNotFoundError when there is none; None for a server.
        """
        if self.file is None:
            return None
        try:
            facts = self.file.stat()
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.file} was removed") from None
        return facts.st_dev, facts.st_ino

    def connect_for_writing(self) -> Connection:
        """A connection whose transactions write from their beginning; raises UserError where that is impossible."""
        if self.unwritable:
            raise UserError(
                f"this store can only be read: {self.unwritable}",
                where=self.label,
                do="Make it writable, or copy it to a place that is",
            )
        return self.engine.connect().execution_options(**{_WRITES: True})


def open_backend(url: str | None = None, *, megabytes: float | None = None) -> Backend:
    """Opens a store: a folder, a file, or a SQLAlchemy URL; None is what BABYSIT_STORE says, else `./babysit_runs/`.

    Of a run it keeps `megabytes` of curves and layer metrics, 0 for all of them; None is what BABYSIT_MAX_RUN_SIZE
    says, else MEGABYTES. What is there and cannot be written is opened to be read. Raises UserError when it cannot be
    opened, or is not a store.
    """
    most_bytes = _most_bytes(megabytes)
    target = _target(url or os.environ.get(VARIABLE))
    if target.get_backend_name() == "sqlite":
        place = _sqlite_place(Path(target.database or ""))
    else:
        label = target.render_as_string(hide_password=True)
        place = Backend(_engine(target, label), label, for_server(target, label))
    _prepare(place)
    return replace(place, most_bytes=most_bytes)


def make_ready(place: Backend) -> None:
    """Makes the tables, and the folder of a file, where they are gone; raises UserError when that is impossible."""
    if place.file is not None and not place.file.parent.exists():
        try:
            _make_folder(place.file.parent)
        except OSError as problem:
            raise unwritable(place.file.parent, problem.strerror or str(problem)) from problem
    _prepare(place)


def _most_bytes(megabytes: float | None) -> float:
    said = os.environ.get(BOUND_VARIABLE) if megabytes is None else megabytes
    try:
        number = MEGABYTES if said in (None, "") else float(said)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise UserError(
            f"the bound of a run is {said!r}, not a number of megabytes",
            do=f"Give {MEGABYTES:g} (the usual), or 0 to keep every row",
        )
    return number * 1e6 * _ROWS_SHARE if number else math.inf


def _target(url: str | None) -> URL:
    if not url or "://" not in url:
        path = Path(url or RUNS_FOLDER).expanduser()
        file = path if path.suffix and not path.is_dir() else path / DATABASE_NAME
        return URL.create("sqlite", database=str(file.absolute()))
    try:
        target = make_url(url)
    except (ArgumentError, ValueError) as problem:  # ValueError: half an IPv6 address, a port that is no number
        raise UserError(
            "this is not the address of a store",
            where=url,
            do="Write a folder, sqlite:///path/to/file.sqlite or postgresql+psycopg://user@host/name",
        ) from problem
    if target.get_backend_name() == "sqlite":
        if target.database in (None, "", ":memory:"):
            raise UserError("a store in memory keeps nothing", where=url, do="Name a file: sqlite:///runs.sqlite")
        return target.set(database=str(Path(str(target.database)).expanduser().absolute()))
    return target


def _sqlite_place(file: Path) -> Backend:
    folder, label = file.parent, str(file)
    try:
        _make_folder(folder)
    except OSError as problem:
        raise unwritable(folder, problem.strerror or str(problem)) from problem
    if file.is_dir():
        raise UserError("a folder stands where the store's file should be", where=label, do="Name another file")
    if file.exists() and not os.access(file, os.R_OK):
        raise unwritable(file, "Permission denied")
    if not os.access(folder, os.W_OK | os.X_OK) or (file.exists() and not os.access(file, os.W_OK)):
        if not file.exists():
            raise unwritable(folder, "Permission denied")
        engine = reading_engine(file, wait_seconds=BUSY_SECONDS)
        return Backend(engine, label, for_file(file), file, unwritable="Permission denied")
    return Backend(_engine(URL.create("sqlite", database=label), label), label, for_file(file), file)


def _make_folder(folder: Path) -> None:
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        return
    ignore = folder / ".gitignore"
    # Runs are no part of a project's history; a folder that was there before is the user's to arrange.
    if (made or folder.name == RUNS_FOLDER) and not ignore.exists():
        ignore.write_text("*\n")


def _engine(target: URL, label: str) -> Engine:
    sqlite = target.get_backend_name() == "sqlite"
    try:
        # No pool: a connection is never shared between threads, nor left open to be inherited by a forked child.
        engine = sa.create_engine(target, poolclass=NullPool, connect_args=_patience(target))
    except (ModuleNotFoundError, NoSuchModuleError) as problem:
        raise UserError(
            f"what talks to this kind of database is not installed: {problem}",
            where=label,
            do="For PostgreSQL: pip install 'babysit[postgres]', and begin the address with postgresql+psycopg://",
        ) from problem
    if sqlite:
        event.listen(engine, "connect", _arrange_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif target.get_backend_name() == "postgresql":
        event.listen(engine, "connect", _arrange_postgresql)
    return engine


def _patience(target: URL) -> dict[str, Any]:
    """How long to wait for an answer, where the address does not say it itself."""
    if target.get_backend_name() == "sqlite":
        return {"timeout": BUSY_SECONDS}
    # A server or a network that went away without a word is noticed in seconds, not in a quarter of an hour:
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    waits = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
    return (
        {name: value for name, value in (waits | {"tcp_user_timeout": 10_000}).items() if name not in target.query}
        if target.get_backend_name() == "postgresql"
        else {}
    )


def _arrange_postgresql(connection: Any, record: object) -> None:
    # Whoever locks our tables is waited for as long as another writer of SQLite, and no longer.
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {int(BUSY_SECONDS * 1000)}")
    connection.commit()


def _arrange_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions are begun by us, see below
    connection.text_factory = text_or_bytes
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        # What deleted runs leave free can go back to the disk; only a file that is still empty can be told so.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    # Readers and a writer do not wait for each other: https://www.sqlite.org/wal.html
    connection.execute("PRAGMA journal_mode=WAL")
    # Whole after a power cut, and safe at once against the end of the process; no wait for the disk at each commit.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that began as a reader cannot always become a writer while others write; so it says so first.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare(place: Backend) -> None:
    if place.unwritable:
        with place.reading() as connection:
            require_readable(connection)
        return
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            # Most stores are ready: to look is enough, and waits for nobody who writes.
            with fork_safety.no_fork(), place.engine.connect() as connection, connection.begin():
                if is_ready(connection):
                    return
            with fork_safety.no_fork(), place.connect_for_writing() as connection, connection.begin():
                prepare(connection)
            return
        except (SQLAlchemyError, sqlite3.Error, TimeoutError) as problem:
            # Many may open a new store at the same time: one makes the tables, the others look again.
            if time.monotonic() > deadline or not is_transient(problem):
                raise to_user_error(problem, place.label) from problem
            time.sleep(0.02)
