"""Concatenation and truncation of the pieces of curves and layer metrics."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from babysit.records.arrays import Array
from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics


def _joined(pieces: Sequence[Array]) -> Array:
    # The dtype is that of the pieces with values.
    filled = [piece for piece in pieces if len(piece)]
    if len(filled) == 1:
        return filled[0]
    return np.concatenate(filled) if filled else pieces[0]


def _check_numbers(name: str, *arrays: Array) -> None:
    for array in arrays:
        if np.asarray(array).dtype.kind not in "biuf":
            raise ValueError(f"{name} holds {np.asarray(array).dtype}, not numbers")


def _check_series(name: str, series: Series) -> None:
    _check_numbers(name, series.steps, series.values)
    if np.ndim(series.steps) != 1 or np.shape(series.steps) != np.shape(series.values):
        raise ValueError(f"{name} has steps of shape {np.shape(series.steps)}, values of {np.shape(series.values)}")


def _check_layer_metrics(layer_metrics: LayerMetrics) -> None:
    fitting = (len(layer_metrics.steps), len(layer_metrics.layers))
    _check_numbers("steps", layer_metrics.steps)
    for name, table in layer_metrics.values.items():
        _check_numbers(name, table)
        if np.shape(table) != fitting:
            raise ValueError(f"{name} has shape {np.shape(table)} for {fitting[0]} steps and {fitting[1]} layers")


def join_curves(pieces: Sequence[Curves]) -> Curves:
    """Concatenate the curves of all pieces. Raises ValueError if steps and values differ in shape."""
    found: dict[str, list[Series]] = {}
    for piece in pieces:
        for name, series in piece.series.items():
            _check_series(name, series)
            found.setdefault(name, []).append(series)
    return Curves(
        series={
            name: Series(
                _joined([np.asarray(series.steps) for series in parts]),
                _joined([np.asarray(series.values) for series in parts]),
            )
            for name, parts in found.items()
        }
    )


def join_layer_metrics(pieces: Sequence[LayerMetrics]) -> LayerMetrics:
    """Concatenate sampled steps over the union of layers and statistics.

    Values that a piece lacks are NaN. Raises ValueError if a table does not match its steps and layers.
    """
    layers = tuple(dict.fromkeys(layer for piece in pieces for layer in piece.layers))
    statistics = tuple(dict.fromkeys(name for piece in pieces for name in piece.values))
    for piece in pieces:
        _check_layer_metrics(piece)
    if not pieces:
        return LayerMetrics()
    columns = [_columns(piece.layers, layers) for piece in pieces]
    return LayerMetrics(
        layers=layers,
        steps=_joined([np.asarray(piece.steps) for piece in pieces]),
        values={name: _table(name, pieces, columns, width=len(layers)) for name in statistics},
    )


def _columns(own: tuple[str, ...], layers: tuple[str, ...]) -> Array | slice:
    index = {layer: number for number, layer in enumerate(layers)}
    return slice(None) if own == layers else np.array([index[layer] for layer in own], dtype="int64")


def _table(name: str, pieces: Sequence[LayerMetrics], columns: Sequence[Array | slice], *, width: int) -> Array:
    dtypes = [np.asarray(piece.values[name]).dtype for piece in pieces if name in piece.values]
    rows = sum(len(piece.steps) for piece in pieces)
    gaps = any(name not in piece.values or len(piece.layers) < width for piece in pieces)
    # Integers have no NaN: with gaps they become floats.
    dtype = np.result_type(*dtypes, np.float16) if gaps else np.result_type(*dtypes)
    table = np.full((rows, width), np.nan if gaps else 0, dtype=dtype)
    row = 0
    for piece, where in zip(pieces, columns, strict=True):
        end = row + len(piece.steps)
        if name in piece.values:
            table[row:end, where] = piece.values[name]
        row = end
    return table


def until_curves(curves: Curves, step: int) -> Curves:
    """Return the curves up to and including a step."""
    kept = {name: np.asarray(series.steps) <= step for name, series in curves.series.items()}
    return Curves(
        series={
            name: Series(series.steps[kept[name]], series.values[kept[name]]) for name, series in curves.series.items()
        }
    )


def until_layer_metrics(layer_metrics: LayerMetrics, step: int) -> LayerMetrics:
    """Return the layer metrics up to and including a step."""
    kept = np.asarray(layer_metrics.steps) <= step
    return msgspec.structs.replace(
        layer_metrics,
        steps=layer_metrics.steps[kept],
        values={name: table[kept] for name, table in layer_metrics.values.items()},
    )
