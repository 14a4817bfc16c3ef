"""What is written: a run taken apart into rows, rows put into the tables, and rows put together again.

The same rows go to the tables or, while those cannot be written, to a spool. Writing a row twice, or an old one after
a newer one, changes nothing; so a spool can be played again without asking what of it had already arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from babysit.records.curves import Curves
from babysit.records.run import Run
from babysit.records.serial import from_bytes
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
    rows = [change for change in changes if isinstance(change, RunRow)]
    created = next((row for row in rows if row.create), None)
    owner = connection.execute(sa.select(RUNS.c.writer, RUNS.c.sequence).where(RUNS.c.id == run_id)).first()
    if created is not None and (
        owner is None or (owner.writer != created.writer and owner.sequence < created.sequence)
    ):
        _create(connection, created, known=owner is not None)
        writer, sequence = created.writer, created.sequence
    elif owner is not None:
        writer, sequence = owner.writer, owner.sequence
    else:
        return  # the run was deleted: what its writer still has to say is not wanted
    newest = [row for row in rows if row.writer == writer and row.sequence > sequence]
    if newest:
        values = {**newest[-1].columns, "sequence": newest[-1].sequence}
        connection.execute(RUNS.update().where(RUNS.c.id == run_id).values(**values))
    parts = {part.name: part for part in changes if isinstance(part, PartRow) and part.writer == writer}
    if parts:
        _put_parts(connection, run_id, parts)
    segments = [piece for piece in changes if isinstance(piece, SegmentRow) and piece.writer == writer]
    if segments:
        _put_segments(connection, run_id, segments)


def _create(connection: Connection, row: RunRow, *, known: bool) -> None:
    values = {**row.columns, "sequence": row.sequence, "writer": row.writer}
    if known:  # tags, notes and its place in time stay
        connection.execute(PARTS.delete().where(PARTS.c.run_id == row.run_id))
        connection.execute(SEGMENTS.delete().where(SEGMENTS.c.run_id == row.run_id))
        connection.execute(RUNS.update().where(RUNS.c.id == row.run_id).values(**values))
    else:
        connection.execute(RUNS.insert().values(id=row.run_id, tags="[]", notes="", kept=row.sequence, **values))


def _put_parts(connection: Connection, run_id: str, parts: Mapping[str, PartRow]) -> None:
    named = sa.and_(PARTS.c.run_id == run_id, PARTS.c.name.in_(tuple(parts)))
    there = {
        row.name: row.sequence for row in connection.execute(sa.select(PARTS.c.name, PARTS.c.sequence).where(named))
    }
    newer = [part for name, part in parts.items() if part.sequence > there.get(name, -1)]
    replaced = [part.name for part in newer if part.name in there]
    if replaced:
        connection.execute(PARTS.delete().where(PARTS.c.run_id == run_id, PARTS.c.name.in_(replaced)))
    if newer:
        rows = [{"run_id": run_id, "name": p.name, "sequence": p.sequence, "payload": p.payload} for p in newer]
        connection.execute(PARTS.insert(), rows)


def _put_segments(connection: Connection, run_id: str, segments: Sequence[SegmentRow]) -> None:
    first, last = segments[0].sequence, segments[-1].sequence
    span = sa.and_(SEGMENTS.c.run_id == run_id, SEGMENTS.c.sequence.between(first, last))
    there = set(connection.scalars(sa.select(SEGMENTS.c.sequence).where(span)))
    rows = [
        {"run_id": run_id, "sequence": piece.sequence, "kind": piece.kind, "payload": piece.payload}
        for piece in segments
        if piece.sequence not in there
    ]
    if rows:
        connection.execute(SEGMENTS.insert(), rows)


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
