"""Writer and event log of resumed trainings, with offset steps."""

from __future__ import annotations

from typing import Any, final

import msgspec

from babysit.records.curves import Curves, Series
from babysit.records.events import Events
from babysit.records.layer_metrics import LayerMetrics
from babysit.store.writer import Writer


@final
class OffsetWriter:
    """Writer for a resumed training: offsets its steps and leaves most fields of the run to RunState.

    A watch counts from 0 each time and samples the first steps densely. Rows recorded after the checkpoint are
    discarded, since those steps are trained again.
    """

    def __init__(self, writer: Writer, first_step: int) -> None:
        self.run_id = writer.run_id
        self._writer = writer
        self._first_step = first_step
        writer.rewind(first_step - 1)

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Append rows, with steps counted from the beginning of the run."""
        self._writer.append(
            curves=None if curves is None else shifted_curves(curves, self._first_step),
            layer_metrics=None
            if layer_metrics is None
            else msgspec.structs.replace(layer_metrics, steps=layer_metrics.steps + self._first_step),
        )

    def update(self, **fields: Any) -> None:
        """Update the fields that live views show; RunState updates all others."""
        live = {name: fields[name] for name in ("model_summary", "overhead", "findings") if name in fields}
        self._writer.update(**live)


def shifted_curves(curves: Curves, steps: int) -> Curves:
    """Return the curves with `steps` added to their steps."""
    return Curves(series={name: Series(series.steps + steps, series.values) for name, series in curves.series.items()})


def joined_events(before: Events, after: Events, *, first_step: int) -> Events:
    """Join the events of two parts of a training, dropping those of the first part from `first_step` on."""
    kept = tuple(event for event in before.kept if event.step < first_step)
    later = tuple(msgspec.structs.replace(event, step=event.step + first_step) for event in after.kept)
    counts = {
        kind: before.counts.get(kind, 0) + after.counts.get(kind, 0) for kind in {**before.counts, **after.counts}
    }
    return Events(counts=counts, kept=kept + later, steps=first_step + after.steps)
