"""The tables of a store, their version, and the page that describes them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, LargeBinary, MetaData, Table, Text

# What each version of the tables brought; migrations.py says how an older one becomes the next.
HISTORY: Final[dict[int, str]] = {
    1: "the first",
    2: "`runs` says how large each run is (`bytes`) and whether rows of it were left out (`thinned`)",
    3: "`deleted` remembers which runs were deleted",
    4: "`verdict` is healthy, problems or inconclusive; it was healthy, sick or empty",
    5: "`root_cause` (was `diagnosis`), and the fields of records version 3 in parts and segments",
}
SCHEMA_VERSION: Final = max(HISTORY)

TABLES: Final = MetaData()

SCHEMA = Table(
    "schema_version",
    TABLES,
    Column("version", Integer, primary_key=True, autoincrement=False, comment="version of these tables"),
    comment="One row: which version of the tables this store has. A babysit that knows only older ones refuses it.",
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
    Column("root_cause", Text, nullable=False, comment="code and name of the first finding that nothing explains"),
    Column("steps", BigInteger, nullable=False, comment="optimizer steps"),
    Column("metric", Float(53), comment="the one number shown of the run"),
    Column("metric_name", Text, nullable=False, comment="which number that is"),
    Column("tags", Text, nullable=False, comment="the user's tags, a JSON list"),
    Column("notes", Text, nullable=False, comment="the user's notes"),
    Column("kept", BigInteger, nullable=False, comment="when the store first kept it, nanoseconds since 1970"),
    Column("sequence", BigInteger, nullable=False, comment="number of the last change that arrived; rises"),
    Column("writer", Text, nullable=False, comment="who last wrote the whole run; rows of others are stale"),
    Column("machine", Text, nullable=False, comment="host, boot and process namespace of the writing process"),
    Column("process", BigInteger, nullable=False, comment="number of the writing process"),
    Column("started", Text, nullable=False, comment="when the writing process started"),
    Column("seen", Float(53), nullable=False, comment="when it last wrote or said it was there, seconds since 1970"),
    # With values for a program that was started before the tables changed, and does not know of them.
    Column("bytes", BigInteger, nullable=False, server_default="0", comment="size of its segments"),
    Column(
        "thinned",
        Integer,
        nullable=False,
        server_default="0",
        comment="1 when rows of its curves or layer metrics were left out to keep it within its bound, else 0",
    ),
    Index("runs_by_time", "kept"),
    comment="One row a run, in columns that can be asked for. A run that says running and whose process is gone "
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
    comment="One row a field of a run, all but its curves and layer metrics.",
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
        comment="curves or layer_metrics: rows that were added; whole-curves or whole-layer-metrics: instead of all "
        "before; rewind: all rows after a step were dropped",
    ),
    Column("payload", LargeBinary, nullable=False, comment="Curves, LayerMetrics or the step as MessagePack"),
    comment="The curves and layer metrics of a run in the pieces they were added in; reading joins them.",
)

DELETED = Table(
    "deleted",
    TABLES,
    Column("run_id", Text, primary_key=True, comment="the run"),
    Column("sequence", BigInteger, nullable=False, comment="when it was deleted; changes of it begun before are stale"),
    comment="One row a run that was deleted: a program that still writes it does not bring it back. A run that is in "
    "neither table was lost with its database, and its program makes it anew.",
)


def version_of(connection: Connection) -> int | None:
    """The version of the tables that are there, None in an empty store."""
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return None
    version: int | None = connection.scalar(sa.select(sa.func.max(SCHEMA.c.version)))
    return version


def describe() -> str:
    """The tables as a page of documentation in Markdown, with what each version brought."""
    lines = [
        "# What a store holds",
        "",
        f"Version {SCHEMA_VERSION} of the tables. The same tables are made in SQLite and in PostgreSQL. A store of an "
        "older version is brought to this one when it is opened, in one transaction; one of a newer version is "
        "refused.",
        "",
        "| version | what it brought |",
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
            "| column | type | what it holds |",
            "|---|---|---|",
        ]
        for column in table.columns:
            key = ", key" if column.primary_key else ""
            optional = ", may be empty" if column.nullable else ""
            lines.append(f"| `{column.name}` | {column.type}{key}{optional} | {column.comment} |")
    return "\n".join(lines) + "\n"
