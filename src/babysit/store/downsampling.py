"""Which rows of a long run are kept when not all of them may be: dense early, spread by the logarithm late.

Steps fall into bins of a fixed grid: `dense` bins for each factor e of the step number, so that below step `dense`
every step has a bin of its own and at step s a bin is s / dense steps wide. Of each bin the first row is kept; of a
curve also its lowest, its highest and its first value that is no number, so that no spike disappears. Halving `dense`
joins bins in pairs, so thinning twice is the same as thinning once, and a run may be thinned again as it grows. The
first and the last row stay whatever happens, and so does what is near an alarm or an event as long as it fits.
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

# So many steps before and after an alarm or event stay: as many as a watch samples densely when it begins.
NEAR_STEPS: Final = 20

# Below so many dense steps the surroundings of events give way, then those of alarms: 32 bins for each factor e are 440
# rows of a run of a million steps, about what a page can show side by side.
_LEAST_DENSE: Final = 32

Mask = NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Marks:
    """Steps that matter: those of alarms and those of events."""

    problems: tuple[int, ...] = ()
    events: tuple[int, ...] = ()


def marks_of(findings: Iterable[Finding], events: Events) -> Marks:
    """The steps at which alarms begin and end, and of the events that are kept one by one."""
    problems = [finding for finding in findings if finding.severity is not Severity.INFO]
    steps = {step for finding in problems for step in (finding.first_step, finding.last_step) if step is not None}
    opened = {event.step for event in events.kept if event.kind in ("finding_opened", "finding_resolved", "nonfinite")}
    return Marks(tuple(sorted(steps | opened)), tuple(sorted({event.step for event in events.kept})))


def bytes_of_curves(curves: Curves) -> int:
    """Bytes of the arrays."""
    return sum(np.asarray(one.steps).nbytes + np.asarray(one.values).nbytes for one in curves.series.values())


def bytes_of_layer_metrics(layer_metrics: LayerMetrics) -> int:
    """Bytes of the arrays."""
    return int(
        np.asarray(layer_metrics.steps).nbytes
        + sum(np.asarray(table).nbytes for table in layer_metrics.values.values())
    )


def downsample(
    curves: Curves, layer_metrics: LayerMetrics, *, marks: Marks, most_bytes: float
) -> tuple[Curves, LayerMetrics]:
    """Both within `most_bytes` together; each may have half of it, and what the other leaves free."""
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
    """The curves with as many rows as fit; the same grid of bins for all of them."""
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
    """The layer metrics with as many sampled steps as fit; a step is kept with all layers and statistics, or not at
    all.
    """
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
    order: Array  # rows by rising step
    steps: Array  # in that order
    scores: tuple[Array, ...]  # in that order; of each, the row with the lowest in a bin is kept, infinity never
    width: int  # bytes of a row


def _column(steps: Array, scores: Iterable[Array], width: int) -> _Column:
    order = np.argsort(steps, kind="stable")
    return _Column(order, steps[order], tuple(score[order] for score in scores), width)


def _curve_column(series: Series) -> _Column:
    steps, values = np.asarray(series.steps), np.asarray(series.values)
    real = values.astype("float64")
    finite = np.isfinite(real)
    # The lowest value, the highest, and the first that is no number: what one looks for in a curve.
    scores = (np.where(finite, real, np.inf), np.where(finite, -real, np.inf), np.where(finite, np.inf, 0.0))
    return _column(steps, scores, steps.itemsize + values.itemsize)


def _fitting(columns: Sequence[_Column], *, marks: Marks, most_bytes: float) -> list[Array]:
    """The rows of each column that stay, in their own order, all by the finest grid with which they fit."""
    problems = np.array(marks.problems, dtype="int64")
    everything = np.array((*marks.problems, *marks.events), dtype="int64")
    top = max((int(column.steps[-1]) for column in columns), default=0)
    kept: list[Array] = []
    # What stays at any price shrinks when even a coarse grid leaves no room for it.
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
    """Of these rows, those that stay with a coarser grid."""
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
    """Which of rising steps are first, last, next to a mark, or at most `within` from one."""
    # The neighbours on both sides stay however far they are: layer metrics are sampled now and then.
    low = np.maximum(np.searchsorted(steps, marks - within, side="left") - 1, 0)
    high = np.minimum(np.searchsorted(steps, marks + within, side="right") + 1, len(steps))
    edges = np.zeros(len(steps) + 1, dtype="int64")
    np.add.at(edges, low, 1)
    np.add.at(edges, high, -1)
    mask: Mask = np.cumsum(edges[:-1]) > 0
    mask[[0, -1]] = True
    return mask
