"""CSV export of a run: the header in the first row, then one row per value."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from babysit.records.arrays import Array
from babysit.store.json_codec import from_plain, plain_dtype
from babysit.store.run_table import COLUMNS, CURVES, Columns, Layout, Table, numbers_of, require_rows, split

_HEAD = "run"


def write_csv(head: str, table: Table, path: Path) -> None:
    """Write the file; numbers have the fewest digits that restore them exactly."""
    layers = (*table.layout.layers, "")  # a curve has layer -1: the last, which has no name
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerow((_HEAD, "", "", "", head))
        for block, columns in zip(table.layout.blocks, table.columns, strict=True):
            named = (layers[number] for number in columns.layer.tolist())
            cells = zip(named, columns.step.tolist(), _words(columns.value), strict=True)
            lines.writerows((block.part, block.name, layer, step, word) for layer, step, word in cells)


def _words(values: Array) -> list[str]:
    plain = values.astype("int64") if values.dtype.kind == "b" else values
    words: list[str] = plain.astype(str).tolist()
    return words


def read_csv(path: Path) -> tuple[str, Any]:
    """Return the header and a function from its layout to the table. Raises ValueError for any other file."""
    with _long_cells(), path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        if tuple(next(lines, ())) != COLUMNS:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
        first = next(lines, [])
        if len(first) != len(COLUMNS) or first[0] != _HEAD:
            raise ValueError("its first row is not the header of a run")
        rows = list(lines)
    return first[4], lambda layout: _table(from_plain(layout, Layout), rows)


def _table(layout: Layout, rows: list[list[str]]) -> Table:
    require_rows(layout, len(rows))
    number = numbers_of(layout)
    names = [name for block in layout.blocks for name in (block.name,) * block.rows]
    if [row[1] for row in rows] != names:
        raise ValueError("its rows differ from those that were written")
    layer = np.array([-1 if row[0] == CURVES else number[row[2]] for row in rows], dtype="int64")
    step = np.array([int(row[3]) for row in rows], dtype="int64")
    table = split(layout, Columns(layer, step, np.array([row[4] for row in rows], dtype=object)))
    typed = [
        Columns(columns.layer, columns.step, _numbers(columns.value, block.dtype))
        for block, columns in zip(layout.blocks, table.columns, strict=True)
    ]
    return Table(layout, typed)


def _numbers(words: Array, name: str) -> Array:
    dtype = plain_dtype(name)
    if dtype.kind == "f":
        return np.array(words.tolist(), dtype=str).astype(dtype)
    return np.array([int(word) for word in words], dtype=dtype)


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)  # the header is one cell
    try:
        yield
    finally:
        csv.field_size_limit(before)
