"""Compaction of growing runs: merge small segments and downsample rows beyond the size limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from babysit.records.curves import Curves
from babysit.records.events import Events
from babysit.records.finding import Finding
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.serialization import from_bytes, to_bytes
from babysit.store.downsampling import Marks, downsample, marks_of
from babysit.store.merge import join_curves, join_layer_metrics
from babysit.store.rows import (
    CURVES,
    LAYER_METRICS,
    WHOLE_CURVES,
    WHOLE_LAYER_METRICS,
    Change,
    PartRow,
    RunRow,
    SegmentRow,
    joined,
)
from babysit.store.schema import PARTS, RUNS, SEGMENTS

# A run over its limit is downsampled to this fraction of it, so that the next downsampling is not due immediately.
_REMAINS: Final = 0.5


def merge_segments(connection: Connection, run_id: str, *, writer: str, after: int) -> int:
    """Merge the segments of a run after a sequence number and return the number of the last one.

    Reading a run takes about 50 µs per segment. Does nothing if another writer took over the run or segments do more
    than add rows.
    """
    owner = connection.scalar(sa.select(RUNS.c.writer).where(RUNS.c.id == run_id))
    newer = sa.and_(SEGMENTS.c.run_id == run_id, SEGMENTS.c.sequence > after)
    rows = connection.execute(sa.select(SEGMENTS).where(newer).order_by(SEGMENTS.c.sequence)).all()
    if owner != writer or not rows:
        return after
    if all(row.kind in (CURVES, LAYER_METRICS) for row in rows):
        connection.execute(SEGMENTS.delete().where(newer))
        for kind in (CURVES, LAYER_METRICS):
            same = [row for row in rows if row.kind == kind]
            if same:
                payload = to_bytes(_JOINED[kind]([row.payload for row in same]))
                values = {"run_id": run_id, "sequence": same[-1].sequence, "kind": kind, "payload": payload}
                connection.execute(SEGMENTS.insert().values(**values))
        _measure(connection, run_id)
    return int(rows[-1].sequence)


_JOINED: Final[dict[str, Callable[[Sequence[bytes]], Curves | LayerMetrics]]] = {
    CURVES: lambda payloads: join_curves([from_bytes(bytes(payload), Curves) for payload in payloads]),
    LAYER_METRICS: lambda payloads: join_layer_metrics(
        [from_bytes(bytes(payload), LayerMetrics) for payload in payloads]
    ),
}


def enforce_limit(connection: Connection, run_id: str, *, most_bytes: float, writer: str = "") -> int | None:
    """Downsample a run over its size limit and return the number of its last segment; None if it fits.

    With `writer`, does nothing if another writer took over the run.
    """
    row = connection.execute(sa.select(RUNS.c.bytes, RUNS.c.writer).where(RUNS.c.id == run_id)).first()
    if row is None or row.bytes <= most_bytes or writer not in ("", row.writer):
        return None
    mine = SEGMENTS.c.run_id == run_id
    segments = connection.execute(sa.select(SEGMENTS).where(mine).order_by(SEGMENTS.c.sequence)).all()
    if len(segments) < 2:  # a single segment was downsampled before it was written
        return None
    curves, layer_metrics = joined((segment.kind, bytes(segment.payload)) for segment in segments)
    marks = _marks(connection, run_id)
    curves, layer_metrics = downsample(curves, layer_metrics, marks=marks, most_bytes=most_bytes * _REMAINS)
    connection.execute(SEGMENTS.delete().where(mine))
    # They take the numbers of the last two segments they replace: newer segments come after them.
    pieces = (
        (segments[-2].sequence, WHOLE_CURVES, curves),
        (segments[-1].sequence, WHOLE_LAYER_METRICS, layer_metrics),
    )
    rows = [{"run_id": run_id, "sequence": at, "kind": kind, "payload": to_bytes(one)} for at, kind, one in pieces]
    connection.execute(SEGMENTS.insert(), rows)
    connection.execute(RUNS.update().where(RUNS.c.id == run_id).values(thinned=1))
    _measure(connection, run_id)
    return int(segments[-1].sequence)


def _measure(connection: Connection, run_id: str) -> None:
    size = sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(SEGMENTS.c.payload)), 0))
    found = connection.scalar(size.where(SEGMENTS.c.run_id == run_id))
    connection.execute(RUNS.update().where(RUNS.c.id == run_id).values(bytes=found))


def _marks(connection: Connection, run_id: str) -> Marks:
    wanted = sa.and_(PARTS.c.run_id == run_id, PARTS.c.name.in_(("findings", "events")))
    parts = {row.name: bytes(row.payload) for row in connection.execute(sa.select(PARTS).where(wanted))}
    findings = from_bytes(parts["findings"], tuple[Finding, ...]) if "findings" in parts else ()
    return marks_of(findings, from_bytes(parts["events"], Events) if "events" in parts else Events())


def shrink(changes: Sequence[Change], *, most_bytes: float) -> list[Change]:
    """Return the changes of one run as they are if small, else joined and downsampled to the size limit."""
    segments = [change for change in changes if isinstance(change, SegmentRow)]
    adding = all(segment.kind in (CURVES, LAYER_METRICS) for segment in segments)
    if sum(len(segment.payload) for segment in segments) <= most_bytes or not adding:
        return list(changes)
    begun = [change for change in changes if isinstance(change, RunRow) and change.create]
    updates = [change for change in changes if isinstance(change, RunRow) and not change.create]
    parts = {change.name: change for change in changes if isinstance(change, PartRow)}
    curves, layer_metrics = joined((segment.kind, segment.payload) for segment in segments)
    rows = downsample(curves, layer_metrics, marks=Marks(), most_bytes=most_bytes * _REMAINS)
    last = {segment.kind: segment for segment in segments}
    pieces = [
        msgspec.structs.replace(last[kind], payload=to_bytes(piece))
        for kind, piece in zip((CURVES, LAYER_METRICS), rows, strict=True)
        if kind in last
    ]
    return sorted([*begun[-1:], *parts.values(), *pieces, *updates[-1:]], key=lambda change: change.sequence)
