"""Downsampling of a run's rows to a size limit: dense early, logarithmically spaced late.

Steps fall into bins of a fixed grid: `dense` bins for each factor e of the step number, so that below step `dense`
every step has its own bin and at step s a bin is s / dense steps wide. Each bin keeps its first row; for a curve also
its lowest, its highest and its first non-finite value, so that no spike disappears. Halving `dense` joins bins in
pairs, so downsampling twice equals downsampling once, and a growing run can be downsampled again. The first and the
last row are always kept, and rows near an alarm or event as long as they fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from babysit.records.arrays import Array
from babysit.records.curves import Curves, Series
from babysit.records.events import Events
from babysit.records.finding import Finding, Severity
from babysit.records.layer_metrics import LayerMetrics

# Steps kept before and after an alarm or event: as many as a watch samples densely at its start.
NEAR_STEPS: Final = 20

# Below this density, first the rows near events are given up, then those near alarms: 32 bins for each factor e are
# 440 rows of a run of a million steps, about the horizontal resolution of a figure.
_LEAST_DENSE: Final = 32

Mask = NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Marks:
    """Steps of alarms and of events, around which rows are kept."""

    problems: tuple[int, ...] = ()
    events: tuple[int, ...] = ()


def marks_of(findings: Iterable[Finding], events: Events) -> Marks:
    """Return the steps at which alarms begin and end, and those of the events kept."""
    problems = [finding for finding in findings if finding.severity is not Severity.INFO]
    steps = {step for finding in problems for step in (finding.first_step, finding.last_step) if step is not None}
    opened = {event.step for event in events.kept if event.kind in ("finding_opened", "finding_resolved", "nonfinite")}
    return Marks(tuple(sorted(steps | opened)), tuple(sorted({event.step for event in events.kept})))


def bytes_of_curves(curves: Curves) -> int:
    """Return the size of the arrays in bytes."""
    return sum(np.asarray(one.steps).nbytes + np.asarray(one.values).nbytes for one in curves.series.values())


def bytes_of_layer_metrics(layer_metrics: LayerMetrics) -> int:
    """Return the size of the arrays in bytes."""
    return int(
        np.asarray(layer_metrics.steps).nbytes
        + sum(np.asarray(table).nbytes for table in layer_metrics.values.values())
    )


def downsample(
    curves: Curves, layer_metrics: LayerMetrics, *, marks: Marks, most_bytes: float
) -> tuple[Curves, LayerMetrics]:
    """Fit both within `most_bytes`; each may use half of it plus what the other leaves free."""
    need_curves, need_layer_metrics = bytes_of_curves(curves), bytes_of_layer_metrics(layer_metrics)
    if need_curves + need_layer_metrics <= most_bytes:
        return curves, layer_metrics
    for_curves = max(most_bytes / 2, most_bytes - need_layer_metrics)
    for_layer_metrics = max(most_bytes / 2, most_bytes - need_curves)
    if need_curves > for_curves:
        curves = downsample_curves(curves, marks=marks, most_bytes=for_curves)
    if need_layer_metrics > for_layer_metrics:
        layer_metrics = downsample_layer_metrics(layer_metrics, marks=marks, most_bytes=for_layer_metrics)
    return curves, layer_metrics


def downsample_curves(curves: Curves, *, marks: Marks, most_bytes: float) -> Curves:
    """Return the curves with as many rows as fit, on the same grid of bins."""
    filled = {name: series for name, series in curves.series.items() if len(series)}
    columns = [_curve_column(series) for series in filled.values()]
    kept = dict(zip(filled, _fitting(columns, marks=marks, most_bytes=most_bytes), strict=True))
    return Curves(
        series={
            name: Series(np.asarray(series.steps)[kept[name]], np.asarray(series.values)[kept[name]])
            if name in kept
            else series
            for name, series in curves.series.items()
        }
    )


def downsample_layer_metrics(layer_metrics: LayerMetrics, *, marks: Marks, most_bytes: float) -> LayerMetrics:
    """Return the layer metrics with as many sampled steps as fit; a step is kept whole or not at all."""
    steps = np.asarray(layer_metrics.steps)
    width = steps.itemsize + sum(table.itemsize * table.shape[1] for table in layer_metrics.values.values())
    broken = np.zeros(len(steps), dtype=bool)
    if "nonfinite" in layer_metrics.values:
        broken = np.nansum(layer_metrics.values["nonfinite"], axis=1) > 0
    column = _column(steps, (np.where(broken, 0.0, np.inf),), width)
    (rows,) = _fitting([column], marks=marks, most_bytes=most_bytes)
    return msgspec.structs.replace(
        layer_metrics,
        steps=steps[rows],
        values={name: np.asarray(table)[rows] for name, table in layer_metrics.values.items()},
    )


class _Column(NamedTuple):
    order: Array  # rows by increasing step
    steps: Array  # in that order
    scores: tuple[Array, ...]  # in that order; each bin keeps the row with the lowest finite value of each
    width: int  # bytes of a row


def _column(steps: Array, scores: Iterable[Array], width: int) -> _Column:
    order = np.argsort(steps, kind="stable")
    return _Column(order, steps[order], tuple(score[order] for score in scores), width)


def _curve_column(series: Series) -> _Column:
    steps, values = np.asarray(series.steps), np.asarray(series.values)
    real = values.astype("float64")
    finite = np.isfinite(real)
    # The lowest value, the highest, and the first that is not finite.
    scores = (np.where(finite, real, np.inf), np.where(finite, -real, np.inf), np.where(finite, np.inf, 0.0))
    return _column(steps, scores, steps.itemsize + values.itemsize)


def _fitting(columns: Sequence[_Column], *, marks: Marks, most_bytes: float) -> list[Array]:
    """Return the rows of each column to keep, in their own order, with the finest grid that fits."""
    problems = np.array(marks.problems, dtype="int64")
    everything = np.array((*marks.problems, *marks.events), dtype="int64")
    top = max((int(column.steps[-1]) for column in columns), default=0)
    kept: list[Array] = []
    # The rows kept unconditionally are reduced when even a coarse grid leaves no room for them.
    for near, within, coarsest in (
        (everything, NEAR_STEPS, _LEAST_DENSE),
        (problems, NEAR_STEPS, _LEAST_DENSE),
        (problems, 0, _LEAST_DENSE),
        (problems[:0], 0, 2**-6),
    ):
        always = [_near(column.steps, near, within) for column in columns]
        kept = [np.arange(len(column.steps)) for column in columns]
        dense = float(2 ** max(top, 1).bit_length())
        while _bytes(columns, kept) > most_bytes and dense > coarsest:
            dense /= 2
            kept = [
                _coarser(column, rows, dense, mask) for column, rows, mask in zip(columns, kept, always, strict=True)
            ]
        if _bytes(columns, kept) <= most_bytes:
            break
    return [np.sort(column.order[rows]) for column, rows in zip(columns, kept, strict=True)]


def _bytes(columns: Sequence[_Column], kept: Sequence[Array]) -> int:
    return sum(column.width * len(rows) for column, rows in zip(columns, kept, strict=True))


def _coarser(column: _Column, rows: Array, dense: float, always: Mask) -> Array:
    """Return the rows to keep on a coarser grid."""
    # `dense` is a power of two: the product is exact, so that bins join in pairs when it is halved.
    bins = np.floor(dense * np.log1p(np.maximum(column.steps[rows], 0).astype("float64")))
    starts = np.flatnonzero(np.concatenate(([True], bins[1:] != bins[:-1])))
    counts = np.diff(np.append(starts, len(rows)))
    number = np.repeat(np.arange(len(starts)), counts)
    stays = always[rows]
    stays[starts] = True
    for score in column.scores:
        here = score[rows]
        lowest = np.minimum.reduceat(here, starts)
        found = np.flatnonzero((here == lowest[number]) & np.isfinite(here))
        stays[found[np.concatenate(([True], number[found][1:] != number[found][:-1]))] if len(found) else found] = True
    return rows[stays]


def _near(steps: Array, marks: Array, within: int) -> Mask:
    """Select the increasing steps that are first, last, next to a mark, or at most `within` from one."""
    # The neighbours on both sides are kept at any distance: layer metrics are sampled sparsely.
    low = np.maximum(np.searchsorted(steps, marks - within, side="left") - 1, 0)
    high = np.minimum(np.searchsorted(steps, marks + within, side="right") + 1, len(steps))
    edges = np.zeros(len(steps) + 1, dtype="int64")
    np.add.at(edges, low, 1)
    np.add.at(edges, high, -1)
    mask: Mask = np.cumsum(edges[:-1]) > 0
    mask[[0, -1]] = True
    return mask
