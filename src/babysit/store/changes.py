"""What is written: a run taken apart into rows, rows put into the tables, and rows put together again.

The same rows go to the tables or, while those cannot be written, to a spool. Writing a row twice, or an old one after
a newer one, changes nothing; so a spool can be played again without asking what of it had already arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from babysit.records.curves import Curves
from babysit.records.run import Run
from babysit.records.serial import from_bytes, to_bytes
from babysit.records.vitals import Vitals
from babysit.store.merge import join_curves, join_vitals, until_curves, until_vitals
from babysit.store.schema import PARTS, RUNS, SEGMENTS

CURVES: Final = "curves"
VITALS: Final = "vitals"
WHOLE_CURVES: Final = "whole-curves"
WHOLE_VITALS: Final = "whole-vitals"
REWIND: Final = "rewind"

# The fields of a run that are kept as parts; curves and vitals grow and are kept as segments.
PART_NAMES: Final = tuple(name for name in Run.__struct_fields__ if name not in ("curves", "vitals"))


class RunRow(msgspec.Struct, frozen=True, tag="run"):
    """The row of one run in the table `runs`; `create` replaces whatever was kept under its id."""

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
    """Rows added to the curves or vitals of a run."""

    run_id: str
    sequence: int
    writer: str
    kind: str
    payload: bytes


Change = RunRow | PartRow | SegmentRow


def apply(connection: Connection, changes: Iterable[Change]) -> None:
    """Puts changes into the tables, within the caller's transaction."""
    ordered = sorted(changes, key=lambda change: (change.run_id, change.sequence))
    for run_id, group in groupby(ordered, key=lambda change: change.run_id):
        _apply_run(connection, run_id, list(group))


def _apply_run(connection: Connection, run_id: str, changes: Sequence[Change]) -> None:
    # A writer's changes arrive in order, so the number of the last one that arrived tells which are new.
    owner = connection.execute(sa.select(RUNS.c.writer, RUNS.c.sequence).where(RUNS.c.id == run_id)).first()
    created = next((change for change in changes if isinstance(change, RunRow) and change.create), None)
    if created is not None and (
        owner is None or (owner.writer != created.writer and owner.sequence < created.sequence)
    ):
        _create(connection, created, known=owner is not None)
        writer, arrived = created.writer, created.sequence
    elif owner is not None:
        writer, arrived = owner.writer, owner.sequence
    else:
        return  # the run was deleted: what its writer still has to say is not wanted
    new = [change for change in changes if change.writer == writer and change.sequence > arrived]
    if new:
        _put(connection, run_id, new)


def _create(connection: Connection, row: RunRow, *, known: bool) -> None:
    values = {**row.columns, "sequence": row.sequence, "writer": row.writer}
    if known:  # tags, notes and its place in time stay
        connection.execute(PARTS.delete().where(PARTS.c.run_id == row.run_id))
        connection.execute(SEGMENTS.delete().where(SEGMENTS.c.run_id == row.run_id))
        connection.execute(RUNS.update().where(RUNS.c.id == row.run_id).values(**values))
    else:
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
    values = {**columns, "sequence": changes[-1].sequence}
    connection.execute(RUNS.update().where(RUNS.c.id == run_id).values(**values))
    if parts:
        connection.execute(PARTS.delete().where(PARTS.c.run_id == run_id, PARTS.c.name.in_(tuple(parts))))
        rows = [{"run_id": run_id, "name": name, "payload": payload} for name, payload in parts.items()]
        connection.execute(PARTS.insert(), rows)
    if segments:
        connection.execute(SEGMENTS.insert(), segments)


def gather(connection: Connection, run_id: str, *, writer: str, after: int) -> int:
    """Joins the small segments of a run that come after a sequence number; gives the number of the last one.

    Reading a run takes about 50 µs a segment, and a long run has many. A run that another writer took over is left
    alone, as are segments that do more than add rows.
    """
    owner = connection.scalar(sa.select(RUNS.c.writer).where(RUNS.c.id == run_id))
    newer = sa.and_(SEGMENTS.c.run_id == run_id, SEGMENTS.c.sequence > after)
    rows = connection.execute(sa.select(SEGMENTS).where(newer).order_by(SEGMENTS.c.sequence)).all()
    if owner != writer or not rows:
        return after
    if all(row.kind in (CURVES, VITALS) for row in rows):
        connection.execute(SEGMENTS.delete().where(newer))
        for kind in (CURVES, VITALS):
            same = [row for row in rows if row.kind == kind]
            if same:
                payload = to_bytes(_JOINED[kind]([row.payload for row in same]))
                values = {"run_id": run_id, "sequence": same[-1].sequence, "kind": kind, "payload": payload}
                connection.execute(SEGMENTS.insert().values(**values))
    return int(rows[-1].sequence)


_JOINED: Final[dict[str, Callable[[Sequence[bytes]], Curves | Vitals]]] = {
    CURVES: lambda payloads: join_curves([from_bytes(bytes(payload), Curves) for payload in payloads]),
    VITALS: lambda payloads: join_vitals([from_bytes(bytes(payload), Vitals) for payload in payloads]),
}


def assemble(parts: Mapping[str, bytes], segments: Iterable[tuple[str, bytes]]) -> Run:
    """The run from its parts and from (kind, payload) of its segments in order.

    Raises UserError when they cannot be read or were written by a newer babysit.
    """
    run = from_bytes(msgspec.msgpack.encode({name: msgspec.Raw(payload) for name, payload in parts.items()}), Run)
    curves: list[Curves] = []
    vitals: list[Vitals] = []
    for kind, payload in segments:
        if kind == REWIND:
            step = from_bytes(payload, int)
            curves = [until_curves(piece, step) for piece in curves]
            vitals = [until_vitals(piece, step) for piece in vitals]
        elif kind in (CURVES, WHOLE_CURVES):
            if kind == WHOLE_CURVES:
                curves.clear()
            curves.append(from_bytes(payload, Curves))
        elif kind in (VITALS, WHOLE_VITALS):
            if kind == WHOLE_VITALS:
                vitals.clear()
            vitals.append(from_bytes(payload, Vitals))
    return msgspec.structs.replace(run, curves=join_curves(curves), vitals=join_vitals(vitals))
