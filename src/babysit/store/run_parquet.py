"""Parquet export of a run: the header in the file's metadata, and one row per value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from babysit.records.arrays import Array
from babysit.records.errors import UserError
from babysit.store.json_codec import from_plain
from babysit.store.run_table import COLUMNS, Columns, Layout, Table, numbers_of, require_rows, split

_KEY: Final = b"babysit"
# Six times the rows of a run within the default limit of 64 MB (at least eight bytes each); 50 bytes each when read.
_MOST_ROWS: Final = 50_000_000


def write_parquet(head: str, table: Table, path: Path) -> None:
    """Write the file. Raises UserError without pyarrow."""
    arrow, parquet = _pyarrow()
    layout = table.layout
    rows = [block.rows for block in layout.blocks]
    layer = _together([columns.layer for columns in table.columns], "int64")
    columns = (
        _words(arrow, [block.part for block in layout.blocks], rows),
        _words(arrow, [block.name for block in layout.blocks], rows),
        arrow.DictionaryArray.from_arrays(
            arrow.array(layer.astype("int32"), mask=layer < 0), arrow.array(list(layout.layers), arrow.string())
        ),
        arrow.array(_together([columns.step for columns in table.columns], "int64")),
        arrow.array(_together([_exactly(columns.value) for columns in table.columns], "float64")),
    )
    made = arrow.Table.from_arrays(list(columns), names=list(COLUMNS))
    parquet.write_table(made.replace_schema_metadata({_KEY: head.encode()}), str(path), compression="zstd")


def read_parquet(path: Path) -> tuple[str, Any]:
    """Return the header and a function from its layout to the table. Raises ValueError for any other file."""
    arrow, parquet = _pyarrow()
    try:
        rows = parquet.read_metadata(str(path)).num_rows
        if rows > _MOST_ROWS:  # repeated rows are tiny in a compressed file, but not in memory
            raise ValueError(f"it declares {rows:,} rows, and at most {_MOST_ROWS:,} are read")
        table = parquet.read_table(str(path))
    except arrow.ArrowInvalid as problem:
        raise ValueError(str(problem)) from problem
    head = (table.schema.metadata or {}).get(_KEY)
    if head is None or tuple(table.column_names) != COLUMNS:
        raise ValueError("it has no header of a run, or other columns")
    return head.decode(), lambda layout: _table(table, from_plain(layout, Layout))


def _table(table: Any, layout: Layout) -> Table:
    require_rows(layout, len(table))
    number = numbers_of(layout)
    layers = table.column("layer").to_pylist()
    names = [name for block in layout.blocks for name in (block.name,) * block.rows]
    if table.column("name").to_pylist() != names:
        raise ValueError("its rows differ from those that were written")
    layer = np.array([-1 if name is None else number[name] for name in layers], dtype="int64")
    return split(layout, Columns(layer, table.column("step").to_numpy(), table.column("value").to_numpy()))


def _words(arrow: Any, words: list[str], rows: list[int]) -> Any:
    names = list(dict.fromkeys(words))
    codes = np.repeat(np.array([names.index(word) for word in words], dtype="int32"), rows)
    return arrow.DictionaryArray.from_arrays(arrow.array(codes, arrow.int32()), arrow.array(names, arrow.string()))


def _together(columns: list[Array], dtype: str) -> Array:
    return np.concatenate([column.astype(dtype) for column in columns]) if columns else np.zeros(0, dtype=dtype)


def _exactly(values: Array) -> Array:
    floats = values.astype("float64")
    if values.dtype.kind in "iu" and not np.array_equal(floats.astype(values.dtype), values):
        raise UserError("a curve holds integers too large for a Parquet column of floats", do="Export the run as json")
    return floats


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ModuleNotFoundError as problem:
        raise UserError(
            "Parquet files need pyarrow, which is not installed",
            do="pip install 'babysit[tables]', or use a .csv or .json file",
        ) from problem
    return arrow, parquet
