"""How the tables of an older store become those of today, one version after the other, without losing a row.

A migration adds, and gives what it adds a value of its own: a program that was started before it goes on writing.
Alembic's operations do the work, because they alter tables in SQLite and PostgreSQL alike; the line of versions is
ours (docs/decisions/ says why).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from babysit.records.problem import UserError
from babysit.store.schema import DELETED, SCHEMA, SCHEMA_VERSION, TABLES, version_of

if TYPE_CHECKING:
    from alembic.operations import Operations

# Any number, as long as it is always the same: two programs that open one PostgreSQL do not change its tables at once.
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
    # Earlier versions said healthy of every run without an alarm, whatever had been measured.
    operations.execute("UPDATE runs SET verdict = 'inconclusive' WHERE verdict <> 'problems'")


# What makes each version out of the one before it; schema.py says what it brought.
MIGRATIONS: Final[dict[int, Callable[[Operations], None]]] = {
    2: _size_and_thinning,
    3: _memory_of_deleted,
    4: _three_verdicts,
}


def is_ready(connection: Connection) -> bool:
    """Whether the tables are those of today; raises UserError for tables of a newer babysit."""
    version = version_of(connection)
    if version is not None and version > SCHEMA_VERSION:
        raise UserError(
            f"this store was made by a newer babysit (its tables are version {version}, known here: {SCHEMA_VERSION})",
            do="Update babysit, or name another store",
        )
    return version == SCHEMA_VERSION


def prepare(connection: Connection) -> None:
    """Makes the tables in an empty store and brings older ones to today.

    The caller's transaction writes from its beginning, so that nobody else does the same at the same time. Raises
    UserError for tables of a newer babysit.
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
    from alembic.migration import MigrationContext  # takes half a second, and is hardly ever needed
    from alembic.operations import Operations

    MIGRATIONS[version](Operations(MigrationContext.configure(connection)))
    connection.execute(SCHEMA.update().values(version=version))
