"""Heat map data: layers grouped into rows, time binned into columns, one table per statistic."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from babysit.plots.aggregation import Aggregation, aggregate
from babysit.plots.layer_groups import LayerGroups, group_layers
from babysit.records.arrays import Array
from babysit.records.layer_metrics import LayerMetrics

# A page-wide figure gives each of 120 columns about seven pixels.
COLUMNS: Final = 120
# Longer trainings use a logarithmic time axis: problems at the start need room.
LOG_FROM_STEPS: Final = 1000


class MetricScale(NamedTuple):
    """Drawing of one statistic: color scheme, bounds (None: from the data), and aggregation."""

    name: str
    words: str
    scheme: str
    low: float | None
    high: float | None
    reduction: Aggregation
    log: bool = False

    @property
    def usual(self) -> float:
        """Return the middle of the bounds: the center of a diverging color scheme."""
        return ((self.low or 0.0) + (self.high or 0.0)) / 2


class Cells(NamedTuple):
    """One table per statistic, (rows, columns) with NaN where nothing was measured, and the labels of both axes."""

    statistics: tuple[MetricScale, ...]
    tables: dict[str, Array]
    folds: tuple[LayerGroups, ...]
    starts: tuple[int, ...]  # first step of each column
    ends: tuple[int, ...]  # first step after it
    log_time: bool
    layers: int
    broken: tuple[tuple[int, int, int], ...]  # row, first step and step after the last of NaN or infinite values
    first: str  # the statistic shown first


def cells(layer_metrics: LayerMetrics, statistics: tuple[MetricScale, ...]) -> Cells | None:
    """Group and bin the layer metrics to a readable size; None when none of these statistics was measured."""
    steps = np.asarray(layer_metrics.steps)
    if not len(steps) or not layer_metrics.layers:
        return None
    edges, log_time = time_edges(steps)
    folds = group_layers(layer_metrics.layers)
    tables = binned(layer_metrics, statistics, folds=folds, edges=edges)
    if not tables:
        return None
    return Cells(
        statistics=tuple(metric for metric in statistics if metric.name in tables),
        tables=tables,
        folds=folds,
        starts=tuple(edges[:-1].tolist()),
        ends=tuple(edges[1:].tolist()),
        log_time=log_time,
        layers=len(layer_metrics.layers),
        broken=_broken(layer_metrics, folds, edges),
        first=next(iter(tables)),
    )


def binned(
    layer_metrics: LayerMetrics, statistics: tuple[MetricScale, ...], *, folds: tuple[LayerGroups, ...], edges: Array
) -> dict[str, Array]:
    """Return each measured statistic as a table (rows of `folds`, columns between `edges`), log10 if configured."""
    column, row = _columns(layer_metrics, edges), _rows(folds)
    tables: dict[str, Array] = {}
    for metric in statistics:
        values = layer_metrics.values.get(metric.name)
        if values is None or np.isnan(values).all():
            continue
        table = np.asarray(values, dtype="float64")
        if metric.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                table = np.log10(np.abs(table))
        by_time = _filled(aggregate(table, column, metric.reduction, usual=metric.usual), len(edges) - 1)
        tables[metric.name] = aggregate(by_time, row, metric.reduction, usual=metric.usual).T
    return tables


def time_edges(steps: Array) -> tuple[Array, bool]:
    """Return the first steps of the columns and the end: every column holds at least one sampled step."""
    last = int(steps[-1]) + 1
    log_time = last > LOG_FROM_STEPS
    if len(steps) <= COLUMNS and not log_time:
        return np.append(steps, last).astype("int64"), log_time
    ideal = np.geomspace(1, last + 1, COLUMNS + 1) - 1 if log_time else np.linspace(0, last, COLUMNS + 1)
    starts = steps[np.unique(np.searchsorted(steps, ideal[:-1]).clip(0, len(steps) - 1))]
    return np.append(starts, last).astype("int64"), log_time


def _columns(layer_metrics: LayerMetrics, edges: Array) -> Array:
    return np.clip(np.searchsorted(edges, np.asarray(layer_metrics.steps), side="right") - 1, 0, len(edges) - 2)


def _rows(folds: tuple[LayerGroups, ...]) -> Array:
    return np.concatenate([np.full(len(group.indices), index) for index, group in enumerate(folds)])


def _filled(by_time: Array, columns: int) -> Array:
    """Append columns of NaN for the last time bins, when nothing was sampled there."""
    missing = columns - by_time.shape[1]
    return np.pad(by_time, ((0, 0), (0, missing)), constant_values=np.nan) if missing else by_time


def _broken(
    layer_metrics: LayerMetrics, folds: tuple[LayerGroups, ...], edges: Array
) -> tuple[tuple[int, int, int], ...]:
    values = layer_metrics.values.get("nonfinite")
    if values is None:
        return ()
    counted = np.nan_to_num(np.asarray(values, dtype="float64"), nan=0.0)
    by_time = aggregate(counted, _columns(layer_metrics, edges), Aggregation.HIGHEST)
    table = aggregate(by_time, _rows(folds), Aggregation.HIGHEST).T > 0
    stretches = []
    for index, cells in enumerate(table):
        # A run of broken cells begins and ends where the padded row changes.
        turns = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]]).astype("int8")))
        stretches += [(index, int(edges[a]), int(edges[b])) for a, b in zip(turns[::2], turns[1::2], strict=True)]
    return tuple(stretches)
