"""Database backend of a store: connection setup, schema preparation and spool locations."""

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

# Default limit for the size of a run: every row of most runs, and some 5,000 sampled steps of a run of a million steps
# and a hundred layers, more than a page can show; read in well under a second (docs/benchmarks/store.md).
MEGABYTES: Final = 64.0

# Fraction of the limit available to the rows: a SQLite file was measured to be 1.05 times as large, and it grows while
# rows are rewritten.
_ROWS_SHARE: Final = 0.9

# How long to wait for another writer; a transaction takes milliseconds, so sixteen writers are done by then.
BUSY_SECONDS: Final = 5.0

_WRITES = "babysit_writes"


@dataclass(frozen=True)
class Backend:
    """A prepared database."""

    engine: Engine
    label: str  # its name in messages: a path, or a URL without its password
    spools: SpoolPaths  # where records are spooled while the database cannot be written
    file: Path | None = None  # the database file; None for a server
    unwritable: str = ""  # why it is read-only; "" for a writable one
    most_bytes: float = math.inf  # limit for the curves and layer metrics of one run

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read transaction (one consistent snapshot). Raises UserError if the store cannot be read."""
        try:
            with fork_safety.no_fork(), self.engine.connect() as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, sqlite3.Error, TimeoutError) as problem:
            raise to_user_error(problem, self.label) from problem

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a write transaction. Raises UserError if the store cannot be written."""
        try:
            with fork_safety.no_fork(), self.connect_for_writing() as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, sqlite3.Error, TimeoutError) as problem:
            raise to_user_error(problem, self.label) from problem

    def vacuum(self) -> None:
        """Release the space of deleted rows: SQLite returns it to the disk, PostgreSQL reuses it for new rows."""
        ignored = suppress(SQLAlchemyError, sqlite3.Error, TimeoutError)  # the next call releases it
        with ignored, fork_safety.no_fork(), self.engine.connect() as connection:
            if self.file is not None:
                # As a script: a statement without rows is stepped once by Python, which frees one page.
                connection.connection.cursor().executescript("PRAGMA incremental_vacuum")
            elif connection.dialect.name == "postgresql":  # autovacuum would do this minutes later
                connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(f"VACUUM {SEGMENTS.name}")

    def file_id(self) -> tuple[int, int] | None:
        """Return device and inode of the database file, or None for a server.

        SQLite keeps writing to a file that was moved away; the ID reveals it. Raises FileNotFoundError if there is
        none.
        """
        if self.file is None:
            return None
        try:
            facts = self.file.stat()
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.file} was removed") from None
        return facts.st_dev, facts.st_ino

    def connect_for_writing(self) -> Connection:
        """Connect with transactions that take the write lock at once. Raises UserError if the store is read-only."""
        if self.unwritable:
            raise UserError(
                f"this store is read-only: {self.unwritable}",
                where=self.label,
                do="Make it writable, or copy it to a writable location",
            )
        return self.engine.connect().execution_options(**{_WRITES: True})


def open_backend(url: str | None = None, *, megabytes: float | None = None) -> Backend:
    """Open a store: a folder, a file or a SQLAlchemy URL; None for BABYSIT_STORE, else `./babysit_runs/`.

    `megabytes` limits the curves and layer metrics of one run, 0 for no limit; None for BABYSIT_MAX_RUN_SIZE, else
    MEGABYTES. An existing store that cannot be written is opened read-only. Raises UserError if it cannot be opened or
    is not a store.
    """
    most_bytes = _most_bytes(megabytes)
    target = _target(url or os.environ.get(VARIABLE))
    if target.get_backend_name() == "sqlite":
        backend = _sqlite_backend(Path(target.database or ""))
    else:
        label = target.render_as_string(hide_password=True)
        backend = Backend(_engine(target, label), label, for_server(target, label))
    _prepare(backend)
    return replace(backend, most_bytes=most_bytes)


def make_ready(backend: Backend) -> None:
    """Create missing tables, and the folder of a file. Raises UserError if they cannot be created."""
    if backend.file is not None and not backend.file.parent.exists():
        try:
            _make_folder(backend.file.parent)
        except OSError as problem:
            raise unwritable(backend.file.parent, problem.strerror or str(problem)) from problem
    _prepare(backend)


def _most_bytes(megabytes: float | None) -> float:
    value = os.environ.get(BOUND_VARIABLE) if megabytes is None else megabytes
    try:
        number = MEGABYTES if value in (None, "") else float(value)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise UserError(
            f"the maximum run size is {value!r}, not a number of megabytes",
            do=f"Use {MEGABYTES:g} (the default), or 0 to keep every row",
        )
    return number * 1e6 * _ROWS_SHARE if number else math.inf


def _target(url: str | None) -> URL:
    if not url or "://" not in url:
        path = Path(url or RUNS_FOLDER).expanduser()
        file = path if path.suffix and not path.is_dir() else path / DATABASE_NAME
        return URL.create("sqlite", database=str(file.absolute()))
    try:
        target = make_url(url)
    except (ArgumentError, ValueError) as problem:  # ValueError: an incomplete IPv6 address, a port that is no number
        raise UserError(
            "this is not a valid store address",
            where=url,
            do="Use a folder, sqlite:///path/to/file.sqlite or postgresql+psycopg://user@host/name",
        ) from problem
    if target.get_backend_name() == "sqlite":
        if target.database in (None, "", ":memory:"):
            raise UserError("an in-memory store loses its runs", where=url, do="Use a file: sqlite:///runs.sqlite")
        return target.set(database=str(Path(str(target.database)).expanduser().absolute()))
    return target


def _sqlite_backend(file: Path) -> Backend:
    folder, label = file.parent, str(file)
    try:
        _make_folder(folder)
    except OSError as problem:
        raise unwritable(folder, problem.strerror or str(problem)) from problem
    if file.is_dir():
        raise UserError("the store's file is a folder", where=label, do="Use another file")
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
    # Runs do not belong in version control; a folder that existed before is left to the user.
    if (made or folder.name == RUNS_FOLDER) and not ignore.exists():
        ignore.write_text("*\n")


def _engine(target: URL, label: str) -> Engine:
    sqlite = target.get_backend_name() == "sqlite"
    try:
        # No pool: connections are never shared between threads or inherited by a forked child.
        engine = sa.create_engine(target, poolclass=NullPool, connect_args=_patience(target))
    except (ModuleNotFoundError, NoSuchModuleError) as problem:
        raise UserError(
            f"the driver for this database is not installed: {problem}",
            where=label,
            do="For PostgreSQL: pip install 'babysit[postgres]', and start the address with postgresql+psycopg://",
        ) from problem
    if sqlite:
        event.listen(engine, "connect", _arrange_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif target.get_backend_name() == "postgresql":
        event.listen(engine, "connect", _arrange_postgresql)
    return engine


def _patience(target: URL) -> dict[str, Any]:
    """Return default timeouts for those that the address does not set."""
    if target.get_backend_name() == "sqlite":
        return {"timeout": BUSY_SECONDS}
    # Detects a lost server or network in seconds instead of a quarter of an hour:
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    waits = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
    return (
        {name: value for name, value in (waits | {"tcp_user_timeout": 10_000}).items() if name not in target.query}
        if target.get_backend_name() == "postgresql"
        else {}
    )


def _arrange_postgresql(connection: Any, record: object) -> None:
    # The same wait for a table lock as for another writer in SQLite.
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {int(BUSY_SECONDS * 1000)}")
    connection.commit()


def _arrange_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions are started explicitly, see below
    connection.text_factory = text_or_bytes
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        # Lets space of deleted runs return to the disk; SQLite accepts this setting only in an empty file.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    # Readers and a writer do not wait for each other: https://www.sqlite.org/wal.html
    connection.execute("PRAGMA journal_mode=WAL")
    # Consistent after a power failure and durable against a killed process, without an fsync at each commit.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    # A read transaction cannot always be upgraded while others write, so the write lock is taken first.
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare(backend: Backend) -> None:
    if backend.unwritable:
        with backend.reading() as connection:
            require_readable(connection)
        return
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            # Most stores are ready: a read is enough and does not wait for a writer.
            with fork_safety.no_fork(), backend.engine.connect() as connection, connection.begin():
                if is_ready(connection):
                    return
            with fork_safety.no_fork(), backend.connect_for_writing() as connection, connection.begin():
                prepare(connection)
            return
        except (SQLAlchemyError, sqlite3.Error, TimeoutError) as problem:
            # Several processes may open a new store at the same time: one creates the tables, the others retry.
            if time.monotonic() > deadline or not is_transient(problem):
                raise to_user_error(problem, backend.label) from problem
            time.sleep(0.02)
