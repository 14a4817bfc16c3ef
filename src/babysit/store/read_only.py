"""Read-only SQLite stores: in another user's folder or on a read-only disk."""

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

# Additions of later versions of the tables are not needed for reading.
_OLDEST_READABLE = 2


def reading_engine(file: Path, *, wait_seconds: float) -> Engine:
    """Create an engine that writes nothing, not even journal files."""

    def connect() -> sqlite3.Connection:
        # Without a journal no writer is active, and immutable mode is needed where no journal can be created:
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
    """Decode text of SQLite; invalid UTF-8 stays bytes, so that only its own row is unreadable."""
    try:
        return found.decode()
    except UnicodeDecodeError:
        return found


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


def require_readable(connection: Connection) -> None:
    """Raise UserError if the tables are missing or of a version that cannot be read unchanged."""
    version = version_of(connection)
    if version is None:
        raise UserError("this store is empty and read-only", do="Make it writable, or use another store")
    if not is_ready(connection) and version < _OLDEST_READABLE:
        raise UserError(
            "this store was made by an older babysit and cannot be migrated because it is read-only",
            do="Copy it to a writable location",
        )
