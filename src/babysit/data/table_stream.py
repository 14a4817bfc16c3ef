"""Streams over CSV and Parquet tables of any length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from babysit.data.arrays import first_few
from babysit.data.numeric_parsing import refuse_stray_text, stray_text
from babysit.data.stream import Batch, LeftOut, Stream, complete_only
from babysit.data.table_batches import RowSource, row_source
from babysit.data.tables import (
    MOST_CATEGORIES,
    TARGET_NAMES,
    is_bytes,
    is_text,
    numbers_of,
    plain_column,
    refuse_layout,
    refuse_type,
    refuse_unknown,
)
from babysit.records.errors import UserError


@final
@dataclass(frozen=True, kw_only=True)
class _ColumnPlan:
    """Use of each column."""

    target: str  # "" without target
    numbers: list[str]
    texts: Mapping[str, list[str]]  # column -> its distinct values, sorted; one feature each
    notes: list[str] = field(default_factory=list)

    @property
    def features(self) -> tuple[str, ...]:
        return (*self.numbers, *(f"{name}={value}" for name, values in self.texts.items() for value in values))


def stream_table(path: Path, *, target: str | None = None, skip_invalid: bool = False) -> Stream:
    """Stream the rows of a `.csv`, `.tsv` or `.parquet` file as samples; missing values are NaN.

    Numeric columns come first, then text columns with few distinct values, one-hot encoded; a first pass over the text
    columns finds their values. Text columns with many distinct values are left out and reported. Without a target, or
    a column with a usual target name, there are only features. With `skip_invalid`, rows with missing values, too few
    values, or text in numeric columns are left out and counted. Raises UserError naming the invalid column.
    """
    left_out = LeftOut()
    rows = row_source(path, skip_invalid=skip_invalid, left_out=left_out)
    plan = _planned(rows, target, path, skip_invalid=skip_invalid)

    def batches() -> Iterator[Batch]:
        found = False
        for table in rows.read([*plan.numbers, *plan.texts, *([plan.target] if plan.target else [])], plan.target):
            batch = _as_batch(table, plan)
            if skip_invalid:
                batch = complete_only(batch, left_out)
            found = found or table.num_rows > 0
            yield batch
        if not found and not left_out.total:
            refuse_layout(rows.names, 0, path)

    return Stream(
        source=str(path),
        kind="table",
        open=batches,
        feature_names=plan.features,
        samples=rows.count,
        position=lambda: rows.position,
        left_out=left_out,
        notes=lambda: tuple(plan.notes),
    )


def _planned(rows: RowSource, target: str | None, path: Path, *, skip_invalid: bool) -> _ColumnPlan:
    refuse_layout(rows.names, 1, path)
    if target is not None and target not in rows.names:
        refuse_unknown(target, rows.names, path)
    likely = [name for name in rows.names if name.strip().lower() in TARGET_NAMES]
    chosen = target or (likely[0] if len(likely) == 1 else "")
    texts = _text_columns(rows, chosen, path)
    categories = _categories(rows, texts)
    many = [name for name in texts if len(categories[name]) > MOST_CATEGORIES]
    typed = _mistyped(many, categories, path, skip_invalid=skip_invalid)
    rows.number_text.update(typed)
    many = [name for name in many if name not in typed]
    numbers = [name for name in rows.names if name != chosen and (name not in texts or name in typed)]
    notes = [f"predicts the column {chosen!r}"] if chosen and target is None else []
    notes += [] if chosen else ["no target given: only the features are described"]
    encoded = {name: sorted(categories[name]) for name in texts if name not in many and name not in typed}
    notes += [f"text columns one-hot encoded: {first_few(list(encoded))}"] if encoded else []
    notes += [f"left out, text with more than {MOST_CATEGORIES} distinct values: {first_few(many)}"] if many else []
    if not numbers and not encoded:
        raise UserError(
            f"there are no usable features: {first_few(many) or 'no column except the target'}"
            + (f" has more than {MOST_CATEGORIES} distinct texts" if many else ""),
            where=str(path),
            do="Give numeric columns, or text columns with few distinct values",
        )
    return _ColumnPlan(target=chosen, numbers=numbers, texts=encoded, notes=notes)


def _text_columns(rows: RowSource, target: str, path: Path) -> list[str]:
    """Return the text columns except the target; raise UserError for columns that are neither text nor numeric."""
    texts = []
    for name in rows.names:
        empty = plain_column(rows.empty.column(name))
        if is_text(empty):
            texts += [name] if name != target else []
        elif numbers_of(empty) is None and (name != target or is_bytes(empty)):
            refuse_type(empty, name, path)
    return texts


def _mistyped(many: list[str], categories: Mapping[str, set[str]], path: Path, *, skip_invalid: bool) -> set[str]:
    """Return columns of mostly numeric texts; raise UserError unless their invalid rows may be left out."""
    from pyarrow import array, string

    typed = set()
    for name in many:
        found = stray_text(array(sorted(categories[name]), type=string()))
        if found and not skip_invalid:
            refuse_stray_text(name, found, path)
        typed |= {name} if found else set()
    return typed


def _categories(rows: RowSource, texts: list[str]) -> dict[str, set[str]]:
    """Return the distinct values of each text column; columns with too many are not read to the end."""
    found: dict[str, set[str]] = {name: set() for name in texts}
    if not texts:
        return found
    for table in rows.read(texts, ""):
        for name in texts:
            if len(found[name]) <= MOST_CATEGORIES:
                values = plain_column(table.column(name)).unique().to_pylist()
                found[name].update(str(value) for value in values if value is not None)
        if all(len(values) > MOST_CATEGORIES for values in found.values()):
            break
    return found


def _as_batch(table: Any, plan: _ColumnPlan) -> Batch:
    x = np.empty((table.num_rows, len(plan.features)), dtype=np.float32)
    with np.errstate(over="ignore"):
        for index, name in enumerate(plan.numbers):
            x[:, index] = numbers_of(plain_column(table.column(name)))
    start = len(plan.numbers)
    for name, values in plan.texts.items():
        x[:, start : start + len(values)] = _one_hot(plain_column(table.column(name)), values)
        start += len(values)
    return Batch(x, _target(table, plan.target))


def _one_hot(column: Any, values: list[str]) -> NDArray[np.float32]:
    """One-hot encode a column; NaN in all columns where the text is missing."""
    from pyarrow import array, compute

    value_set = array(values, type=column.type)
    indices = compute.fill_null(compute.index_in(column, value_set=value_set), len(values)).to_numpy()
    rows = np.vstack((np.eye(len(values), dtype=np.float32), np.full(len(values), np.nan, dtype=np.float32)))
    return np.asarray(rows[indices])


def _target(table: Any, name: str) -> NDArray[Any] | None:
    if not name:
        return None
    column = plain_column(table.column(name))
    if is_text(column):
        from pyarrow import compute

        return np.asarray(compute.fill_null(column, "").to_numpy().astype(str))
    numbers = numbers_of(column)
    return numbers if numbers is not None else np.asarray(column.cast("string").to_numpy().astype(str))
