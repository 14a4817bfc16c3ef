"""Lossless schema migrations of older stores, one version at a time.

A migration adds columns with a default, so that a program started before it can continue writing. Version 5 renamed
fields instead; no version before it was released. Alembic's operations alter tables in SQLite and PostgreSQL alike;
the version sequence is our own (docs/decisions/ says why).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from babysit.records.errors import UserError
from babysit.records.upgrades import FIELDS, with_current_names
from babysit.store.rows import LAYER_METRICS, WHOLE_LAYER_METRICS
from babysit.store.schema import DELETED, PARTS, RUNS, SCHEMA, SCHEMA_VERSION, SEGMENTS, TABLES, version_of

if TYPE_CHECKING:
    from alembic.operations import Operations

# Arbitrary but fixed key of the PostgreSQL advisory lock: only one program migrates a database at a time.
_LOCK: Final = 0x62616279


def _size_and_thinning(operations: Operations) -> None:
    with operations.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0"))
        runs.add_column(sa.Column("thinned", sa.Integer, nullable=False, server_default="0"))
    operations.execute(
        "UPDATE runs SET bytes = (SELECT coalesce(sum(length(payload)), 0) FROM segments WHERE run_id = runs.id)"
    )


def _memory_of_deleted(operations: Operations) -> None:
    DELETED.create(operations.get_bind())


def _three_verdicts(operations: Operations) -> None:
    operations.execute("UPDATE runs SET verdict = 'problems' WHERE verdict = 'sick'")
    # Earlier versions called every run without an alarm healthy, regardless of the evidence.
    operations.execute("UPDATE runs SET verdict = 'inconclusive' WHERE verdict <> 'problems'")


def _current_names(operations: Operations) -> None:
    """Rename the column, the parts and the fields inside them to the names of records version 3."""
    operations.alter_column("runs", "diagnosis", new_column_name="root_cause")
    connection = operations.get_bind()
    connection.execute(RUNS.update().where(RUNS.c.kind == "routine").values(kind="pipeline"))
    for old, new in FIELDS.items():
        connection.execute(PARTS.update().where(PARTS.c.name == old).values(name=new))
    for old, new in (("vitals", LAYER_METRICS), ("whole-vitals", WHOLE_LAYER_METRICS)):
        connection.execute(SEGMENTS.update().where(SEGMENTS.c.kind == old).values(kind=new))
    for table in (PARTS, SEGMENTS):
        key = table.primary_key.columns
        for row in connection.execute(sa.select(*key, table.c.payload)).mappings().all():
            payload = msgspec.msgpack.encode(with_current_names(msgspec.msgpack.decode(row["payload"])))
            this = sa.and_(*(column == row[column.name] for column in key))
            connection.execute(table.update().where(this).values(payload=payload))


# The migration to each version from the one before it; schema.py describes the changes.
MIGRATIONS: Final[dict[int, Callable[[Operations], None]]] = {
    2: _size_and_thinning,
    3: _memory_of_deleted,
    4: _three_verdicts,
    5: _current_names,
}


def is_ready(connection: Connection) -> bool:
    """Check whether the tables have the current version. Raises UserError if a newer babysit made them."""
    version = version_of(connection)
    if version is not None and version > SCHEMA_VERSION:
        raise UserError(
            f"this store was made by a newer babysit (its tables are version {version}, supported: {SCHEMA_VERSION})",
            do="Update babysit, or use another store",
        )
    return version == SCHEMA_VERSION


def prepare(connection: Connection) -> None:
    """Create the tables of an empty store, or migrate older ones.

    The caller's transaction holds the write lock. Raises UserError if a newer babysit made the tables.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    if is_ready(connection):
        return
    version = version_of(connection)
    if version is None:
        TABLES.create_all(connection)
        connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
        return
    for missing in range(version + 1, SCHEMA_VERSION + 1):
        _migrate(connection, missing)


def _migrate(connection: Connection, version: int) -> None:
    from alembic.migration import MigrationContext  # takes half a second, and is rarely needed
    from alembic.operations import Operations

    MIGRATIONS[version](Operations(MigrationContext.configure(connection)))
    connection.execute(SCHEMA.update().values(version=version))
