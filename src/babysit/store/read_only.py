"""A SQLite store that may be read and not written: in a folder of somebody else, or on a disk that takes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import NullPool

from babysit.records.errors import UserError
from babysit.store.migrations import is_ready
from babysit.store.schema import version_of

# What later versions of the tables brought is only written.
_OLDEST_READABLE = 2


def reading_engine(file: Path, *, wait_seconds: float) -> Engine:
    """Connections that leave no trace, not even a file beside the database."""

    def connect() -> sqlite3.Connection:
        # Without its journal nobody writes it now, and only so it can be read where no journal can be made:
        # https://www.sqlite.org/wal.html#read_only_databases
        journal = file.with_name(f"{file.name}-wal")
        ways = ("", "&immutable=1") if journal.exists() and journal.stat().st_size else ("&immutable=1",)
        for way in ways:
            connection = _connect(file, way, wait_seconds)
            try:
                connection.execute("PRAGMA schema_version").fetchone()
            except sqlite3.OperationalError:
                connection.close()
                if way == ways[-1]:
                    raise
            else:
                break
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    return engine


def _connect(file: Path, way: str, wait_seconds: float) -> sqlite3.Connection:
    address = f"file:{quote(str(file))}?mode=ro{way}"
    connection = sqlite3.connect(address, uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False)
    connection.text_factory = text_or_bytes
    return connection


def text_or_bytes(found: bytes) -> str | bytes:
    """Text as SQLite holds it; one that is no UTF-8 stays bytes, so that it spoils its own row and no other."""
    try:
        return found.decode()
    except UnicodeDecodeError:
        return found


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


def require_readable(connection: Connection) -> None:
    """Raises UserError when the tables are not there, or of another version than can be read as they are."""
    version = version_of(connection)
    if version is None:
        raise UserError("no run is kept here, and none can be", do="Make it writable, or name another store")
    if not is_ready(connection) and version < _OLDEST_READABLE:
        raise UserError(
            "this store was made by an older babysit, and cannot be brought to today where nothing can be written",
            do="Copy it to a place that can be written",
        )
