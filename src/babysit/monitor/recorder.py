"""Accumulates curves, layer metrics and events, and sends only new ones to the store."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final, Protocol, final

import numpy as np
import torch
from torch import Tensor

from babysit.monitor.metric_collector import to_metrics, values_of
from babysit.records.curves import LEARNING_RATE, TRAIN_ACCURACY, Curves, Series
from babysit.records.events import Event, Events
from babysit.records.layer_metrics import LayerMetrics

MOST_EVENTS_OF_A_KIND: Final = 100


class RunWriter(Protocol):
    """Receives records during a training; implemented by store.writer.Writer."""

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Append new rows."""

    def update(self, **parts: object) -> None:
        """Replace fields of the run."""


Measured = tuple[list[tuple[str, str]], dict[tuple[str, str], int], Tensor | None]


@final
class Recorder:
    """All records so far; scalars may remain on the device until `settle`."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[int, float | Tensor]]] = {}
        self._own: set[str] = set()  # names of curves that the user logs
        self._rows: list[tuple[int, list[tuple[str, str]], dict[tuple[str, str], int], Tensor]] = []
        self._steps: dict[str, list[int]] = {}
        self._values: dict[str, list[float]] = {}
        self._vital_steps: list[int] = []
        self._vital_rows: list[dict[tuple[str, str], float]] = []
        self._sent_curves: dict[str, int] = {}
        self._sent_rows = 0
        self._counts: Counter[str] = Counter()
        self._kept: list[Event] = []
        self._kept_of: Counter[str] = Counter()

    def own(self, name: str, step: int, value: float) -> None:
        """Record a point of a curve that the user logs; it replaces measured values of the same name from then on."""
        self._own.add(name)
        self.scalar(name, step, value)

    def found(self, name: str, step: int, value: float) -> None:
        """Record a point measured in an evaluation, unless the user logs that curve."""
        if name not in self._own:
            self.scalar(name, step, value)

    def scalar(self, name: str, step: int, value: float | Tensor) -> None:
        """Record a point of a curve; a tensor is read later."""
        self._waiting.setdefault(name, []).append((step, value))

    def sampled(self, step: int, accuracy: Tensor | None, lr: float | Tensor | None, measured: Measured) -> None:
        """Record a sampled step: batch accuracy, learning rate, and raw scalars of its layers, still on the device."""
        if accuracy is not None:
            self.scalar(TRAIN_ACCURACY, step, accuracy)
        if lr is not None:
            self.scalar(LEARNING_RATE, step, float(lr))
        keys, counts, row = measured
        if row is not None:
            self._rows.append((step, keys, counts, row))

    def event(self, step: int, kind: str, detail: str = "", *, keep: bool = True) -> None:
        """Record an event; the first MOST_EVENTS_OF_A_KIND of a kind are stored, the rest only counted."""
        self._counts[kind] += 1
        if keep and self._kept_of[kind] < MOST_EVENTS_OF_A_KIND:
            self._kept_of[kind] += 1
            self._kept.append(Event(step=step, kind=kind, detail=detail))

    def settle(self) -> None:
        """Copy pending values from the device to the host; the only function here that synchronizes."""
        for name in list(self._waiting):  # removed one by one, so that an unreadable value is not retried
            points = self._waiting.pop(name)
            tensors = [value for _, value in points if isinstance(value, Tensor)]
            read = iter(torch.stack([t.float().reshape(()) for t in tensors]).tolist() if tensors else [])
            settled = [(step, next(read) if isinstance(value, Tensor) else value) for step, value in points]
            if name == TRAIN_ACCURACY:  # NaN: the batch has no accuracy
                settled = [(step, value) for step, value in settled if not math.isnan(value)]
            self._steps.setdefault(name, []).extend(step for step, _ in settled)
            self._values.setdefault(name, []).extend(value for _, value in settled)
        while self._rows:
            step, keys, counts, row = self._rows.pop(0)
            statistics = to_metrics(values_of(keys, row), counts)
            self._vital_steps.append(step)
            self._vital_rows.append(statistics)

    def knows(self, name: str) -> bool:
        """Check whether a curve has a point."""
        return bool(self._waiting.get(name) or self._values.get(name))

    def last(self, name: str, count: int) -> list[float]:
        """Return the last settled values of a curve."""
        return self._values.get(name, [])[-count:]

    def curves(self, since: dict[str, int] | None = None) -> Curves:
        """Return all curves, or only the points after the given positions."""
        series = {}
        for name, steps in self._steps.items():
            start = since.get(name, 0) if since else 0
            if start < len(steps):
                series[name] = Series(
                    np.asarray(steps[start:], dtype="int64"), np.asarray(self._values[name][start:], dtype="float64")
                )
        return Curves(series=series)

    def layer_metrics(self, layers: list[str], since: int = 0) -> LayerMetrics:
        """Return the metrics of the given layers from the sampled row `since` on."""
        rows = self._vital_rows[since:]
        place = {name: index for index, name in enumerate(layers)}
        names = dict.fromkeys(name for row in rows for _, name in row)
        values = {name: np.full((len(rows), len(layers)), np.nan, dtype="float32") for name in names}
        for index, row in enumerate(rows):
            for (layer, name), value in row.items():
                if layer in place:
                    values[name][index, place[layer]] = value
        return LayerMetrics(
            layers=tuple(layers), steps=np.asarray(self._vital_steps[since:], dtype="int64"), values=values
        )

    def events(self, steps: int, counted: dict[str, int]) -> Events:
        """Return the events, including counts from other sources."""
        counts = {**self._counts, **{kind: count for kind, count in counted.items() if count}}
        return Events(counts=counts, kept=tuple(self._kept), steps=steps)

    def send(self, sink: RunWriter, layers: list[str]) -> None:
        """Send records that are new since the last call."""
        curves = self.curves(self._sent_curves)
        layer_metrics = self.layer_metrics(layers, self._sent_rows)
        sink.append(
            curves=curves if curves.series else None, layer_metrics=layer_metrics if len(layer_metrics.steps) else None
        )
        self._sent_curves = {name: len(steps) for name, steps in self._steps.items()}
        self._sent_rows = len(self._vital_rows)
