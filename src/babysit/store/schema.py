"""Table definitions of a store, the schema version, and the generated description."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, LargeBinary, MetaData, Table, Text

# Changes in each version of the tables; migrations.py migrates from one to the next.
HISTORY: Final[dict[int, str]] = {
    1: "initial version",
    2: "`runs` has the size of each run (`bytes`) and whether rows were left out (`thinned`)",
    3: "`deleted` records which runs were deleted",
    4: "`verdict` is healthy, problems or inconclusive; before, any run without an alarm was healthy",
    5: "`root_cause` (was `diagnosis`), and the fields of records version 3 in parts and segments",
}
SCHEMA_VERSION: Final = max(HISTORY)

TABLES: Final = MetaData()

SCHEMA = Table(
    "schema_version",
    TABLES,
    Column("version", Integer, primary_key=True, autoincrement=False, comment="version of these tables"),
    comment="One row: the version of the tables in this store. A babysit that knows only older versions refuses it.",
)

RUNS = Table(
    "runs",
    TABLES,
    Column("id", Text, primary_key=True, comment="date, time (UTC) and a random word"),
    Column("name", Text, nullable=False, comment="the name the user gave"),
    Column("kind", Text, nullable=False, comment="watch, fit, search, pipeline or check"),
    Column("status", Text, nullable=False, comment="running, finished, interrupted or crashed, as last written"),
    Column("created", Text, nullable=False, comment="when the run began, ISO 8601, UTC"),
    Column("ended", Text, nullable=False, comment="when it ended, or empty"),
    Column("verdict", Text, nullable=False, comment="healthy, problems or inconclusive"),
    Column("root_cause", Text, nullable=False, comment="code and name of the first finding that no other explains"),
    Column("steps", BigInteger, nullable=False, comment="optimizer steps"),
    Column("metric", Float(53), comment="the number shown for the run"),
    Column("metric_name", Text, nullable=False, comment="which number that is"),
    Column("tags", Text, nullable=False, comment="the user's tags, a JSON list"),
    Column("notes", Text, nullable=False, comment="the user's notes"),
    Column("kept", BigInteger, nullable=False, comment="when it was first stored, nanoseconds since 1970"),
    Column("sequence", BigInteger, nullable=False, comment="number of the last change applied; increases"),
    Column("writer", Text, nullable=False, comment="last writer of the whole run; rows of others are stale"),
    Column("machine", Text, nullable=False, comment="host, boot and process namespace of the writing process"),
    Column("process", BigInteger, nullable=False, comment="number of the writing process"),
    Column("started", Text, nullable=False, comment="when the writing process started"),
    Column("seen", Float(53), nullable=False, comment="time of its last write or heartbeat, seconds since 1970"),
    # The defaults serve programs that were started before these columns existed.
    Column("bytes", BigInteger, nullable=False, server_default="0", comment="size of its segments"),
    Column(
        "thinned",
        Integer,
        nullable=False,
        server_default="0",
        comment="1 if rows of its curves or layer metrics were left out to meet the size limit, else 0",
    ),
    Index("runs_by_time", "kept"),
    comment="One row per run, in columns that can be queried. A run that says running and whose process is gone "
    "(or, on another machine, silent for ten minutes) is shown as interrupted.",
)

PARTS = Table(
    "parts",
    TABLES,
    Column("run_id", Text, primary_key=True, comment="the run"),
    Column(
        "name", Text, primary_key=True, comment="a field of the record Run: model_summary, experiments, findings, …"
    ),
    Column("payload", LargeBinary, nullable=False, comment="the field as MessagePack"),
    comment="One row per field of a run, except curves and layer metrics.",
)

SEGMENTS = Table(
    "segments",
    TABLES,
    Column("run_id", Text, primary_key=True, comment="the run"),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="order of writing"),
    Column(
        "kind",
        Text,
        nullable=False,
        comment="curves or layer_metrics: added rows; whole-curves or whole-layer-metrics: replaces all rows before; "
        "rewind: drops all rows after a step",
    ),
    Column("payload", LargeBinary, nullable=False, comment="Curves, LayerMetrics or the step as MessagePack"),
    comment="The curves and layer metrics of a run in the segments in which they were added; reading joins them.",
)

DELETED = Table(
    "deleted",
    TABLES,
    Column("run_id", Text, primary_key=True, comment="the run"),
    Column("sequence", BigInteger, nullable=False, comment="when it was deleted; earlier changes of it are stale"),
    comment="One row per deleted run: a program that still writes it does not restore it. A run in neither table was "
    "lost with its database, and its program creates it again.",
)


def version_of(connection: Connection) -> int | None:
    """Return the version of the tables; None in an empty store."""
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return None
    version: int | None = connection.scalar(sa.select(sa.func.max(SCHEMA.c.version)))
    return version


def describe() -> str:
    """Render the tables and the changes of each version as Markdown."""
    lines = [
        "# Store schema",
        "",
        f"Version {SCHEMA_VERSION} of the tables, the same in SQLite and in PostgreSQL. A store of an older version is "
        "migrated in one transaction when it is opened; one of a newer version is refused.",
        "",
        "| version | change |",
        "|---|---|",
        *(f"| {version} | {change} |" for version, change in HISTORY.items()),
    ]
    for table in TABLES.sorted_tables:
        lines += [
            "",
            f"## {table.name}",
            "",
            str(table.comment),
            "",
            "| column | type | content |",
            "|---|---|---|",
        ]
        for column in table.columns:
            key = ", key" if column.primary_key else ""
            optional = ", may be empty" if column.nullable else ""
            lines.append(f"| `{column.name}` | {column.type}{key}{optional} | {column.comment} |")
    return "\n".join(lines) + "\n"
