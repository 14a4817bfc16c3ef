"""Conversion of recorded items (rows, fields, rewinds) into store changes, with the run's summary row kept current."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, final

import msgspec

from babysit.analysis.extent import steps
from babysit.records.curves import Curves
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.records.serialization import to_bytes
from babysit.store.downsampling import downsample, marks_of
from babysit.store.durable_writer import DurableWriter
from babysit.store.merge import join_curves, join_layer_metrics
from babysit.store.origin import PART as ORIGIN
from babysit.store.origin import How, origin_of
from babysit.store.rows import (
    CURVES,
    LAYER_METRICS,
    PART_NAMES,
    REWIND,
    WHOLE_CURVES,
    WHOLE_LAYER_METRICS,
    Change,
    PartRow,
    RunRow,
    SegmentRow,
    assemble,
)
from babysit.store.run_id import this_process
from babysit.store.summary import best_values, metric_of, steps_in


class Rows(msgspec.Struct, frozen=True):
    """New rows of curves and layer metrics."""

    curves: Curves | None = None
    layer_metrics: LayerMetrics | None = None


class SetFields(msgspec.Struct, frozen=True):
    """New values of fields of the run."""

    values: dict[str, Any]


class Truncate(msgspec.Struct, frozen=True):
    """Discards rows after a step: training was resumed there."""

    step: int


Item = Rows | SetFields | Truncate

_JOIN: Final[dict[str, Callable[[Sequence[Any]], Any]]] = {CURVES: join_curves, LAYER_METRICS: join_layer_metrics}


@final
class ChangeBuilder:
    """Changes of one run; items that cannot be recorded are reported to the sink and left out."""

    def __init__(self, run: Run, sink: DurableWriter, *, most_bytes: float = math.inf) -> None:
        self._sink = sink
        self._most_bytes = most_bytes
        # Holds only what the summary row needs: curves and layer metrics can be large.
        self._run = msgspec.structs.replace(run, curves=Curves(), layer_metrics=LayerMetrics())
        self._owner = this_process()
        self._created = run.created or datetime.now(UTC).isoformat(timespec="seconds")
        self._steps = 0
        self._best: dict[str, float] = {}

    def beginning(self, run: Run, *, how: How = "begun") -> list[Change]:
        """Return the changes that store a whole run in place of any under its ID, and its origin."""
        rows = self._fitting(run)
        create = self._row(
            create=True, thinned=rows.curves is not run.curves or rows.layer_metrics is not run.layer_metrics
        )
        rest = self._updated({name: getattr(run, name) for name in PART_NAMES})
        payload = to_bytes(origin_of(self._run, how))
        origin = PartRow(run.id, self._sink.next_sequence(), self._sink.writer, ORIGIN, payload)
        return [create, *rest, origin, *self.changes([rows]), self._row()]

    def _fitting(self, run: Run) -> Rows:
        """Downsample the rows of a whole run to its limit, around all of its alarms."""
        try:
            rows = downsample(
                run.curves, run.layer_metrics, marks=marks_of(run.findings, run.events), most_bytes=self._most_bytes
            )
        except Exception:  # invalid rows: joining them reports and leaves out the invalid ones
            return Rows(run.curves, run.layer_metrics)
        return Rows(*rows)

    def changes(self, items: Sequence[Item]) -> list[Change]:
        """Return the changes for these items; consecutive rows are joined into one segment."""
        made: list[Change] = []
        rows: dict[str, list[Any]] = {CURVES: [], LAYER_METRICS: []}
        for item in items:
            if isinstance(item, Rows):
                rows[CURVES] += [item.curves] if item.curves is not None and item.curves.series else []
                rows[LAYER_METRICS] += (
                    [item.layer_metrics] if item.layer_metrics is not None and len(item.layer_metrics.steps) else []
                )
                continue
            made += self._joined(rows)
            rows = {CURVES: [], LAYER_METRICS: []}
            made += self._rewound(item.step) if isinstance(item, Truncate) else self._updated(item.values)
        made += self._joined(rows)
        return [*made, self._row()] if made else []

    def heartbeat(self) -> list[Change]:
        """Return the change that signals a live writer."""
        return [self._row()]

    def _joined(self, rows: dict[str, list[Any]]) -> list[Change]:
        return [change for kind, pieces in rows.items() for change in self._segments(kind, pieces)]

    def _segments(self, kind: str, pieces: Sequence[Any]) -> list[Change]:
        if not pieces:
            return []
        try:
            return [self._segment(kind, _JOIN[kind](pieces))]
        except Exception as problem:
            if len(pieces) == 1:
                self._sink.report(f"{kind} were left out: {problem}")
                return []
        # One of them is invalid: keep the others.
        return [change for piece in pieces for change in self._segments(kind, [piece])]

    def _segment(self, kind: str, joined: Any) -> Change:
        payload = to_bytes(joined)
        if isinstance(joined, Curves):
            self._best = best_values(joined, self._best)
        self._steps = max(self._steps, steps_in(joined))
        return SegmentRow(self._run.id, self._sink.next_sequence(), self._sink.writer, kind, payload)

    def _rewound(self, step: int) -> list[Change]:
        self._steps = step + 1
        self._best = {}  # the best may have come after that step
        payload = to_bytes(int(step))
        return [SegmentRow(self._run.id, self._sink.next_sequence(), self._sink.writer, REWIND, payload)]

    def _updated(self, values: dict[str, Any]) -> list[Change]:
        made: list[Change] = []
        for name, value in values.items():
            try:
                made.append(self._field(name, value))
            except Exception as problem:
                self._sink.report(f"{name} was left out: {problem}")
        return made

    def _field(self, name: str, value: Any) -> Change:
        if name in _JOIN:
            self._steps, self._best = (0, {}) if name == CURVES else (self._steps, self._best)
            return self._segment(WHOLE_CURVES if name == CURVES else WHOLE_LAYER_METRICS, _JOIN[name]([value]))
        if name not in PART_NAMES:
            raise ValueError("a run has no such field")
        if name == "id" and value != self._run.id:
            raise ValueError("the ID of a run cannot change")
        payload = to_bytes(value)
        # Decode with its type before writing: an unreadable field would make the whole run unreadable.
        known = getattr(assemble({"id": to_bytes(self._run.id), name: payload}, ()), name)
        self._run = msgspec.structs.replace(self._run, **{name: known})
        # What was read back is kept: a record that is made holds no secret.
        return PartRow(self._run.id, self._sink.next_sequence(), self._sink.writer, name, to_bytes(known))

    def _row(self, *, create: bool = False, thinned: bool = False) -> RunRow:
        run, owner = self._run, self._owner
        root_cause = run.root_cause
        metric_name, metric = metric_of(run, self._best)
        columns: dict[str, str | int | float | None] = {
            "name": storable(run.name),
            "kind": storable(run.kind),
            "status": str(run.status),
            "created": storable(run.created or self._created),
            "ended": storable(run.ended),
            "verdict": str(run.verdict),
            "root_cause": storable(f"{root_cause.code} {root_cause.name}") if root_cause is not None else "",
            "steps": steps(run, self._steps),
            "metric": metric,
            "metric_name": storable(metric_name),
            "machine": owner.machine,
            "process": owner.process,
            "started": owner.started,
            "seen": time.time(),
        }
        if thinned:  # set once; later downsampling in the store sets it there
            columns["thinned"] = 1
        return RunRow(run.id, self._sink.next_sequence(), self._sink.writer, create, columns)


def storable(text: str) -> str:
    """Return text that every database accepts: without NUL (not allowed in PostgreSQL) and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
