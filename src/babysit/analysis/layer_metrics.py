"""Layer metrics at the start, at the end and over the run, by layer."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from babysit.records.model_summary import Layer
from babysit.records.run import Run

# Expensive metrics are not measured on every sampled step, so the window is larger than necessary.
WINDOW = 9


def _median(part: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a layer that was never measured stays NaN
        found: np.ndarray = np.nanmedian(np.asarray(part, dtype=np.float64), axis=0)
    return found


def _by_layer(run: Run, values: np.ndarray) -> dict[str, float]:
    return {
        name: float(value) for name, value in zip(run.layer_metrics.layers, values, strict=True) if np.isfinite(value)
    }


def table(run: Run, metric: str) -> np.ndarray:
    """Return the values of a metric, shape (sampled steps, layers); NaN if not measured, no rows if never."""
    found = run.layer_metrics.values.get(metric)
    return np.zeros((0, len(run.layer_metrics.layers))) if found is None else np.asarray(found, dtype=np.float64)


def _latest_of(rows: np.ndarray) -> np.ndarray:
    """Return the last finite value of each layer in these rows; NaN if there is none."""
    latest = np.full(rows.shape[1], np.nan)
    for row in rows:
        latest = np.where(np.isfinite(row), row, latest)
    return latest


def first(run: Run, metric: str) -> dict[str, float]:
    """Return the first value of each layer within the first window: the state at initialization."""
    return _by_layer(run, _latest_of(table(run, metric)[:WINDOW][::-1]))


def first_known(run: Run, metric: str) -> dict[str, float]:
    """Return the first value of each layer over the full run."""
    return _by_layer(run, _latest_of(table(run, metric)[::-1]))


def last_known(run: Run, metric: str) -> dict[str, float]:
    """Return the last value of each layer, for metrics that aggregate many samples themselves."""
    return _by_layer(run, _latest_of(table(run, metric)))


def first_window(run: Run, metric: str) -> dict[str, float]:
    """Return the median of each layer over the first sampled steps."""
    rows = table(run, metric)
    return _by_layer(run, _median(rows[:WINDOW])) if len(rows) else {}


def last_window(run: Run, metric: str) -> dict[str, float]:
    """Return the median of each layer over the last sampled steps."""
    rows = table(run, metric)
    return _by_layer(run, _median(rows[-WINDOW:])) if len(rows) else {}


def overall(run: Run, metric: str) -> dict[str, float]:
    """Return the median of each layer over the full run."""
    rows = table(run, metric)
    return _by_layer(run, _median(rows)) if len(rows) else {}


def select(layers: Iterable[Layer], values: dict[str, float]) -> dict[str, float]:
    """Return the values of these layers, in their order."""
    return {layer.name: values[layer.name] for layer in layers if layer.name in values}


def onset(run: Run, metric: str, layer: str, at_least: float) -> int | None:
    """Return the first sampled step from which a metric of a layer stays at or above a level until the end."""
    values = np.asarray(run.layer_metrics.series(metric, layer), dtype=np.float64)
    known = np.isfinite(values)
    steps, values = run.layer_metrics.steps[known], values[known]
    below = np.flatnonzero(values < at_least)
    start = int(below[-1]) + 1 if below.size else 0
    return int(steps[start]) if start < len(steps) else None
