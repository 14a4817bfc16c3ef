"""Conversion of curves and layer metrics to one long table, a row per value, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, final

import msgspec
import numpy as np

from babysit.records.arrays import Array
from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.store.json_codec import plain_dtype

CURVES: Final = "curves"
LAYER_METRICS: Final = "layer_metrics"
COLUMNS: Final = ("part", "name", "layer", "step", "value")


class Block(msgspec.Struct, frozen=True):
    """Consecutive rows of a table: one curve, or one statistic by step and layer."""

    part: str  # curves or layer metrics
    name: str
    rows: int
    steps_dtype: str
    dtype: str  # of the values


class Layout(msgspec.Struct, frozen=True):
    """Metadata to rebuild a table: order and types of its blocks, layers and sampled steps."""

    blocks: tuple[Block, ...] = ()
    layers: tuple[str, ...] = ()
    steps: Array = msgspec.field(default_factory=lambda: np.zeros(0, dtype="int64"))  # of the layer metrics


class Columns(NamedTuple):
    """The rows of one block; `layer` is the number of the layer, -1 for a curve."""

    layer: Array
    step: Array
    value: Array


@final
@dataclass(frozen=True)
class Table:
    """A layout and the columns of each of its blocks."""

    layout: Layout
    columns: Sequence[Columns]


def table_of(curves: Curves, layer_metrics: LayerMetrics) -> Table:
    """Build the long table of curves and layer metrics."""
    layout = Layout(tuple(_blocks(curves, layer_metrics)), layer_metrics.layers, np.asarray(layer_metrics.steps))
    return Table(layout, [*_of_curves(curves), *_of_layer_metrics(layer_metrics)])


def _blocks(curves: Curves, layer_metrics: LayerMetrics) -> Iterator[Block]:
    for name, series in curves.series.items():
        steps, values = np.asarray(series.steps), np.asarray(series.values)
        yield Block(CURVES, name, len(steps), _dtype(steps), _dtype(values))
    for name, values in layer_metrics.values.items():
        yield Block(
            LAYER_METRICS, name, np.size(values), _dtype(np.asarray(layer_metrics.steps)), _dtype(np.asarray(values))
        )


def _dtype(array: Array) -> str:
    return str(array.dtype.newbyteorder("<").str)


def _of_curves(curves: Curves) -> Iterator[Columns]:
    for series in curves.series.values():
        steps = np.asarray(series.steps)
        yield Columns(np.full(len(steps), -1, dtype="int64"), steps, np.asarray(series.values))


def _of_layer_metrics(layer_metrics: LayerMetrics) -> Iterator[Columns]:
    steps, layers = np.asarray(layer_metrics.steps), len(layer_metrics.layers)
    for values in layer_metrics.values.values():
        yield Columns(np.tile(np.arange(layers), len(steps)), np.repeat(steps, layers), np.ravel(values))


def split(layout: Layout, columns: Columns) -> Table:
    """Split rows into the blocks of a layout. Raises ValueError if their number does not match."""
    ends = np.cumsum([0, *(block.rows for block in layout.blocks)])
    if ends[-1] != len(columns.value):
        raise ValueError(f"it should have {ends[-1]:,} rows and has {len(columns.value):,}")
    return Table(layout, [Columns(*(column[low:high] for column in columns)) for low, high in pairwise(ends)])


def require_rows(layout: Layout, rows: int) -> None:
    """Raise ValueError if the number of rows does not match the layout, before memory is allocated for them."""
    wanted = sum(block.rows for block in layout.blocks)
    if wanted != rows or any(block.rows < 0 for block in layout.blocks):
        raise ValueError(f"it should have {wanted:,} rows and has {rows:,}")


def run_of(table: Table) -> tuple[Curves, LayerMetrics]:
    """Rebuild curves and layer metrics. Raises ValueError if rows were moved or changed."""
    series: dict[str, Series] = {}
    values: dict[str, Array] = {}
    layout = table.layout
    plain_dtype(layout.steps.dtype.str)
    shape = (len(layout.steps), len(layout.layers))
    for block, columns in zip(layout.blocks, table.columns, strict=True):
        value = columns.value.astype(plain_dtype(block.dtype), copy=False)
        if block.part == CURVES:
            series[block.name] = Series(columns.step.astype(plain_dtype(block.steps_dtype), copy=False), value)
        else:
            _require_order(block, columns, layout)
            values[block.name] = value.reshape(shape)
    return Curves(series=series), LayerMetrics(layers=layout.layers, steps=layout.steps, values=values)


def _require_order(block: Block, columns: Columns, layout: Layout) -> None:
    numbers = numbers_of(layout)
    layers = np.tile([numbers[name] for name in layout.layers], len(layout.steps))
    steps = np.repeat(layout.steps, len(layout.layers))
    if not (np.array_equal(columns.layer, layers) and np.array_equal(columns.step, steps)):
        raise ValueError(f"the rows of {block.name} are not in the order they were written in")


def numbers_of(layout: Layout) -> dict[str, int]:
    """Map layer names to their numbers in a table."""
    return {name: layout.layers.index(name) for name in layout.layers}
