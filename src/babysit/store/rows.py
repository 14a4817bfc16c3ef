"""Rows of a run: their types, how they are applied to the tables, and how a run is rebuilt from them.

The same rows go to the tables or, while those cannot be written, to a spool. Applying a row twice, or an old one after
a newer one, changes nothing, so a spool can be applied again without checking what had already arrived.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from babysit.analysis.verdict import concluded
from babysit.records.curves import Curves
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import VERSION, Run, Status
from babysit.records.serialization import from_bytes
from babysit.store.merge import join_curves, join_layer_metrics, until_curves, until_layer_metrics
from babysit.store.schema import DELETED, PARTS, RUNS, SEGMENTS

CURVES: Final = "curves"
LAYER_METRICS: Final = "layer_metrics"
WHOLE_CURVES: Final = "whole-curves"
WHOLE_LAYER_METRICS: Final = "whole-layer-metrics"
REWIND: Final = "rewind"

# The fields of a run that are kept as parts; curves and layer metrics grow and are kept as segments.
PART_NAMES: Final = tuple(name for name in Run.__struct_fields__ if name not in ("curves", "layer_metrics"))


class RunRow(msgspec.Struct, frozen=True, tag="run"):
    """The row of one run in the table `runs`; `create` replaces any run stored under its ID."""

    run_id: str
    sequence: int
    writer: str
    create: bool
    columns: dict[str, str | int | float | None]


class PartRow(msgspec.Struct, frozen=True, tag="part"):
    """One field of a run."""

    run_id: str
    sequence: int
    writer: str
    name: str
    payload: bytes


class SegmentRow(msgspec.Struct, frozen=True, tag="segment"):
    """Rows added to the curves or layer metrics of a run."""

    run_id: str
    sequence: int
    writer: str
    kind: str
    payload: bytes


Change = RunRow | PartRow | SegmentRow


def apply(connection: Connection, changes: Iterable[Change]) -> set[str]:
    """Apply changes within the caller's transaction; return the IDs of runs that are missing.

    Changes of a deleted run are ignored; it does not count as missing.
    """
    ordered = sorted(changes, key=lambda change: (change.run_id, change.sequence))
    by_run = groupby(ordered, key=lambda change: change.run_id)
    return {run_id for run_id, group in by_run if not _apply_run(connection, run_id, list(group))}


def _apply_run(connection: Connection, run_id: str, changes: Sequence[Change]) -> bool:
    # A writer's changes arrive in order, so those numbered above the last one that arrived are new.
    owner = connection.execute(sa.select(RUNS.c.writer, RUNS.c.sequence).where(RUNS.c.id == run_id)).first()
    created = next((change for change in changes if isinstance(change, RunRow) and change.create), None)
    if owner is None:
        deleted = connection.scalar(sa.select(DELETED.c.sequence).where(DELETED.c.run_id == run_id))
        if deleted is not None and (created is None or created.sequence <= deleted):
            return True  # changes of a deleted run are ignored
    if created is not None and (
        owner is None or (owner.writer != created.writer and owner.sequence < created.sequence)
    ):
        _create(connection, created, known=owner is not None)
        writer, arrived = created.writer, created.sequence
    elif owner is not None:
        writer, arrived = owner.writer, owner.sequence
    else:
        return False
    new = [change for change in changes if change.writer == writer and change.sequence > arrived]
    if new:
        _put(connection, run_id, new)
    return True


def _create(connection: Connection, row: RunRow, *, known: bool) -> None:
    values = {**row.columns, "sequence": row.sequence, "writer": row.writer}
    if known:  # tags, notes and the time of the first write are preserved
        connection.execute(PARTS.delete().where(PARTS.c.run_id == row.run_id))
        connection.execute(SEGMENTS.delete().where(SEGMENTS.c.run_id == row.run_id))
        connection.execute(RUNS.update().where(RUNS.c.id == row.run_id).values({"bytes": 0, "thinned": 0, **values}))
    else:
        connection.execute(DELETED.delete().where(DELETED.c.run_id == row.run_id))
        connection.execute(RUNS.insert().values(id=row.run_id, tags="[]", notes="", kept=row.sequence, **values))


def _put(connection: Connection, run_id: str, changes: Sequence[Change]) -> None:
    columns: dict[str, str | int | float | None] = {}
    parts: dict[str, bytes] = {}
    segments: list[dict[str, str | int | bytes]] = []
    for change in changes:
        if isinstance(change, RunRow):
            columns = change.columns
        elif isinstance(change, PartRow):
            parts[change.name] = change.payload
        else:
            segments.append(
                {"run_id": run_id, "sequence": change.sequence, "kind": change.kind, "payload": change.payload}
            )
    added = sum(len(change.payload) for change in changes if isinstance(change, SegmentRow))
    values: dict[str, Any] = {**columns, "sequence": changes[-1].sequence, "bytes": RUNS.c.bytes + added}
    connection.execute(RUNS.update().where(RUNS.c.id == run_id).values(**values))
    if parts:
        connection.execute(PARTS.delete().where(PARTS.c.run_id == run_id, PARTS.c.name.in_(tuple(parts))))
        rows = [{"run_id": run_id, "name": name, "payload": payload} for name, payload in parts.items()]
        connection.execute(PARTS.insert(), rows)
    if segments:
        connection.execute(SEGMENTS.insert(), segments)


def delete(connection: Connection, run_id: str) -> None:
    """Delete a run and record its deletion within the caller's transaction."""
    last = connection.scalar(sa.select(RUNS.c.sequence).where(RUNS.c.id == run_id)) or 0
    for column in (RUNS.c.id, PARTS.c.run_id, SEGMENTS.c.run_id, DELETED.c.run_id):
        connection.execute(column.table.delete().where(column == run_id))
    connection.execute(DELETED.insert().values(run_id=run_id, sequence=max(last, time.time_ns())))


def assemble(parts: Mapping[str, bytes], segments: Iterable[tuple[str, bytes]]) -> Run:
    """Rebuild a run from its parts and from (kind, payload) of its segments in order.

    Raises UserError if they cannot be read or a newer babysit wrote them.
    """
    run = from_bytes(msgspec.msgpack.encode({name: msgspec.Raw(payload) for name, payload in parts.items()}), Run)
    curves, layer_metrics = joined(segments)
    return of_today(msgspec.structs.replace(run, curves=curves, layer_metrics=layer_metrics))


def of_today(run: Run) -> Run:
    """Convert a run of an older version to the current one: version 1 stored no verdict."""
    return run if run.version >= 2 else msgspec.structs.replace(concluded(run), version=VERSION)


def as_ended(run: Run, status: Status) -> Run:
    """Return the run with the status it has now, judged again where its program is gone without having ended it."""
    if run.status is status:
        return run
    return concluded(msgspec.structs.replace(run, status=status))


def joined(segments: Iterable[tuple[str, bytes]]) -> tuple[Curves, LayerMetrics]:
    """Join segments given in order as (kind, payload). Raises UserError if one is unreadable."""
    curves: list[Curves] = []
    layer_metrics: list[LayerMetrics] = []
    for kind, payload in segments:
        if kind == REWIND:
            step = from_bytes(payload, int)
            curves = [until_curves(piece, step) for piece in curves]
            layer_metrics = [until_layer_metrics(piece, step) for piece in layer_metrics]
        elif kind in (CURVES, WHOLE_CURVES):
            if kind == WHOLE_CURVES:
                curves.clear()
            curves.append(from_bytes(payload, Curves))
        elif kind in (LAYER_METRICS, WHOLE_LAYER_METRICS):
            if kind == WHOLE_LAYER_METRICS:
                layer_metrics.clear()
            layer_metrics.append(from_bytes(payload, LayerMetrics))
    return join_curves(curves), join_layer_metrics(layer_metrics)
