"""Layer metrics at the beginning and at the end, layer by layer."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from babysit.records.model_summary import Layer
from babysit.records.run import Run

# Statistics that are costly are not measured on every sampled step, so a window holds more samples than it needs.
WINDOW = 9


def _median(part: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a layer that was never measured stays NaN, without a word
        found: np.ndarray = np.nanmedian(np.asarray(part, dtype=np.float64), axis=0)
    return found


def _by_layer(run: Run, values: np.ndarray) -> dict[str, float]:
    return {
        name: float(value) for name, value in zip(run.layer_metrics.layers, values, strict=True) if np.isfinite(value)
    }


def table(run: Run, metric: str) -> np.ndarray:
    """All values of a statistic, shape (sampled steps, layers); NaN where not measured, no rows when never."""
    found = run.layer_metrics.values.get(metric)
    return np.zeros((0, len(run.layer_metrics.layers))) if found is None else np.asarray(found, dtype=np.float64)


def _latest_of(rows: np.ndarray) -> np.ndarray:
    """Return, for each layer, its last finite value in these rows; NaN without one."""
    answer = np.full(rows.shape[1], np.nan)
    for row in rows:
        answer = np.where(np.isfinite(row), row, answer)
    return answer


def first(run: Run, metric: str) -> dict[str, float]:
    """The first measured value of each layer: the state at initialization."""
    return _by_layer(run, _latest_of(table(run, metric)[:WINDOW][::-1]))


def first_known(run: Run, metric: str) -> dict[str, float]:
    """The first measured value of each layer, however late it was measured."""
    return _by_layer(run, _latest_of(table(run, metric)[::-1]))


def last_known(run: Run, metric: str) -> dict[str, float]:
    """The last measured value of each layer: of statistics that look back over many samples themselves."""
    return _by_layer(run, _latest_of(table(run, metric)))


def first_window(run: Run, metric: str) -> dict[str, float]:
    """The median of each layer over the first sampled steps."""
    rows = table(run, metric)
    return _by_layer(run, _median(rows[:WINDOW])) if len(rows) else {}


def last_window(run: Run, metric: str) -> dict[str, float]:
    """The median of each layer over the last sampled steps."""
    rows = table(run, metric)
    return _by_layer(run, _median(rows[-WINDOW:])) if len(rows) else {}


def overall(run: Run, metric: str) -> dict[str, float]:
    """The median of each layer over the whole run."""
    rows = table(run, metric)
    return _by_layer(run, _median(rows)) if len(rows) else {}


def select(layers: Iterable[Layer], values: dict[str, float]) -> dict[str, float]:
    """The values of these layers only, in their order."""
    return {layer.name: values[layer.name] for layer in layers if layer.name in values}


def onset(run: Run, metric: str, layer: str, at_least: float) -> int | None:
    """The first sampled step from which a layer's statistic stays at or above a level, up to the last sample."""
    values = np.asarray(run.layer_metrics.series(metric, layer), dtype=np.float64)
    known = np.isfinite(values)
    steps, values = run.layer_metrics.steps[known], values[known]
    below = np.flatnonzero(values < at_least)
    start = int(below[-1]) + 1 if below.size else 0
    return int(steps[start]) if start < len(steps) else None
