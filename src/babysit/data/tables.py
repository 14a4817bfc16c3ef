"""CSV and Parquet tables, one row per sample."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from babysit.data.arrays import first_few, make_samples
from babysit.data.numeric_parsing import numbers_only, refuse_stray_text, stray_text
from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.records.model_summary import Task

# Text columns with at most this many distinct values are one-hot encoded; more are names, dates or free text, from
# which nothing is learned by one-hot columns that are nearly always zero.
MOST_CATEGORIES = 20
TARGET_NAMES = ("target", "label", "class", "y")  # used when no target is given
_DELIMITERS = ",;\t|"
# pyarrow's default null values, and the question mark of many older data sets.
MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "None")


def load_table(
    path: Path, *, target: str | None = None, task: Task | None = None, skip_invalid: bool = False
) -> Samples:
    """Load samples from a `.csv`, `.tsv` or `.parquet` file; `target` is the column to predict.

    Numeric and boolean columns become features, text columns with few distinct values are one-hot encoded.
    Raises UserError naming the invalid column. With `skip_invalid`, rows with missing values, text in numeric columns,
    or a wrong number of values are left out and counted.
    """
    ragged: list[Any] = []
    is_parquet = path.suffix.lower() in {".parquet", ".pq"}
    table = _read_parquet(path) if is_parquet else _read_csv(path, ragged if skip_invalid else None)
    rows = table.num_rows
    names = [str(name) for name in table.column_names]
    refuse_layout(names, rows, path)
    chosen = target if target is not None else guess_target(names, path)
    if chosen not in names:
        refuse_unknown(chosen, names, path)
    table = _without_stray_text(table, chosen, path, skip_invalid=skip_invalid)
    table = table.drop_null() if skip_invalid else table
    skipped = len(ragged) + rows - table.num_rows
    columns: list[NDArray[Any]] = []
    features: list[str] = []
    encoded: list[str] = []
    for name in names:
        if name == chosen:
            continue
        values, labels = _feature(table.column(name), name, path)
        columns.append(values)
        features.extend(labels)
        encoded.extend([name] if len(labels) > 1 or labels[0] != name else [])
    if not columns:
        raise UserError(f"there is no column except the target {chosen!r}", where=str(path))
    labels_of_target = _target(table.column(chosen), chosen, path)
    samples = make_samples(
        np.concatenate(columns, axis=1),
        labels_of_target,
        source=str(path),
        task=task,
        feature_names=tuple(features),
        skip_invalid=skip_invalid,
    )
    notes = [f"text columns one-hot encoded: {first_few(encoded)}"] if encoded else []
    notes += [f"predicts the column {chosen!r}"] if target is None else []
    notes += [f"left out: {skipped} rows with missing, invalid, too many or too few values"] if skipped else []
    return replace(samples, skipped=samples.skipped + skipped, notes=(*samples.notes, *notes))


def pyarrow_module() -> Any:
    """Import pyarrow; raise UserError if it is not installed."""
    try:
        import pyarrow
    except ImportError as problem:
        raise UserError(
            "reading tables needs pyarrow", do="Install it with: pip install 'babysit[tables]'"
        ) from problem
    return pyarrow


def _read_parquet(path: Path) -> Any:
    arrow = pyarrow_module()
    from pyarrow import parquet

    try:
        return _validated(parquet.read_table(path))
    except (arrow.ArrowException, OSError, ValueError) as problem:
        raise UserError(f"this is not a readable Parquet file: {first_line(problem)}", where=str(path)) from problem


def _read_csv(path: Path, ragged: list[Any] | None) -> Any:
    arrow = pyarrow_module()
    from pyarrow import csv

    try:
        with path.open("rb") as file:
            start = file.read(4096)
        if b"\0" in start:
            raise UserError("this is not a text file", where=str(path), do="Give comma-separated text in UTF-8")
        table = csv.read_csv(
            path,
            # One block for the whole file: column types depend on all rows, not on the first ones.
            read_options=csv.ReadOptions(block_size=min(path.stat().st_size + 1, 2**31 - 1)),
            parse_options=csv.ParseOptions(
                delimiter=delimiter(start),
                invalid_row_handler=None if ragged is None else lambda row: _skip(row, ragged),
            ),
            convert_options=csv.ConvertOptions(null_values=list(MISSING), strings_can_be_null=True),
        )
        return _validated(table)
    except (arrow.ArrowException, OSError, ValueError) as problem:
        raise UserError(
            f"this is not a readable table: {first_line(problem)}",
            where=str(path),
            do="Give text in UTF-8 with one header line and equally many values in every row",
        ) from problem


def _skip(row: Any, ragged: list[Any]) -> str:
    ragged.append(row)
    return "skip"


def _validated(table: Any) -> Any:
    """Return the table after validating its values and column names, especially their UTF-8."""
    table.validate(full=True)
    _ = table.column_names
    return table


def delimiter(start: bytes) -> str:
    """Return the most frequent delimiter of the first line."""
    header = start.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    return max(_DELIMITERS, key=header.count)


def first_line(problem: Exception) -> str:
    """Return the first line of an exception's message."""
    text = str(problem).splitlines()
    return text[0][:200] if text else type(problem).__name__


def refuse_layout(names: list[str], rows: int, path: Path) -> None:
    """Raise UserError for no rows, duplicate names, and numbers instead of names."""
    if rows == 0:
        raise UserError(f"the table has {len(names)} columns and no rows", where=str(path), do="Give at least one row")
    twice = [f"{name!r:.60}" for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"several columns have the same name: {first_few(twice)}", where=str(path), do="Rename them")
    if all(_is_number(name) for name in names) and names != [str(index) for index in range(len(names))]:
        raise UserError(
            f"the first line contains numbers ({', '.join(names[:3])}, …) instead of column names",
            where=str(path),
            do="Add a header line with the column names",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def guess_target(names: list[str], path: Path) -> str:
    """Return the only column with a usual target name; raise UserError otherwise."""
    likely = [name for name in names if name.strip().lower() in TARGET_NAMES]
    if len(likely) == 1:
        return likely[0]
    raise UserError(
        "no target column is given",
        where=str(path),
        do=f"Give it as the target. The columns are {listing(names)}",
    )


def refuse_unknown(target: str, names: list[str], path: Path) -> None:
    """Raise UserError with the closest column name."""
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(target.lower(), list(lower), n=1, cutoff=0.5)
    hint = f"Did you mean {lower[near[0]]!r}? " if near else ""
    raise UserError(
        f"there is no column {target!r:.100}", where=str(path), do=f"{hint}The columns are {listing(names)}"
    )


def listing(names: list[str]) -> str:
    """List the column names, up to twenty."""
    shown = ", ".join(f"{name!r:.60}" for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def plain_column(column: Any) -> Any:
    """Return the column without dictionary encoding (Parquet's categories)."""
    from pyarrow import types

    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def is_text(column: Any) -> bool:
    """Check whether a column contains text."""
    from pyarrow import types

    return bool(types.is_string(column.type) or types.is_large_string(column.type))


def is_bytes(column: Any) -> bool:
    """Check whether a column contains bytes: text that is not UTF-8."""
    from pyarrow import types

    return bool(types.is_binary(column.type) or types.is_large_binary(column.type))


def numbers_of(column: Any) -> NDArray[np.float64] | None:
    """Return the values of a numeric column with NaN for nulls, or None for another type."""
    from pyarrow import float64, types

    kind = column.type
    numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    if not numeric and not types.is_null(kind):
        return None
    as_float = column.cast("uint8") if types.is_boolean(kind) else column
    values: NDArray[np.float64] = as_float.cast(float64(), safe=False).to_numpy()
    return values


def _without_stray_text(table: Any, target: str, path: Path, *, skip_invalid: bool) -> Any:
    """Convert numeric columns that contain some text; raise UserError unless such rows may be left out."""
    typed: dict[str, bool] = {}
    for name in table.column_names:
        plain = plain_column(table.column(name))
        if name == target or not is_text(plain) or len(plain.unique()) <= MOST_CATEGORIES:
            continue
        found = stray_text(plain)
        if found and not skip_invalid:
            refuse_stray_text(name, found, path)
        typed |= {name: False} if found else {}
    return numbers_only(table, typed)[0]


def _feature(column: Any, name: str, path: Path) -> tuple[NDArray[Any], list[str]]:
    """Return values of shape (rows, feature columns) and the name of each feature column."""
    plain = plain_column(column)
    numbers = numbers_of(plain)
    if numbers is not None:
        return numbers[:, None], [name]
    if not is_text(plain):
        refuse_type(plain, name, path)
    if plain.null_count:
        raise UserError(
            f"the text column {name!r:.60} has no value in {plain.null_count} of {len(plain)} rows",
            where=str(path),
            do="Fill them in (for example with the word unknown) or remove these rows or the column",
        )
    values = plain.to_numpy().astype(str)
    distinct, indices = np.unique(values, return_inverse=True)
    if len(distinct) > MOST_CATEGORIES:
        examples = ", ".join(f"{str(value)!r:.30}" for value in distinct[:3])
        raise UserError(
            f"the text column {name!r:.60} has {len(distinct)} distinct values ({examples}, …); "
            f"up to {MOST_CATEGORIES} can be one-hot encoded",
            where=str(path),
            do="Remove the column, or convert it to numbers or to fewer categories",
        )
    return np.eye(len(distinct))[indices], [f"{name}={value}" for value in distinct]


def _target(column: Any, name: str, path: Path) -> NDArray[Any]:
    plain = plain_column(column)
    if plain.null_count:
        raise UserError(
            f"the target column {name!r:.60} has no value in {plain.null_count} of {len(plain)} rows",
            where=str(path),
            do="Remove these rows",
        )
    if is_text(plain):
        return np.asarray(plain.to_numpy().astype(str))
    numbers = numbers_of(plain)
    if numbers is None:
        refuse_type(plain, name, path)
    return numbers


def refuse_type(column: Any, name: str, path: Path) -> NoReturn:
    """Raise UserError for values that are neither numbers nor text."""
    if is_bytes(column):
        raise UserError(
            f"the column {name!r:.60} contains bytes that are not UTF-8", where=str(path), do="Save the table as UTF-8"
        )
    raise UserError(
        f"the column {name!r:.60} contains values of type {column.type}, which are neither numbers nor text",
        where=str(path),
        do="Convert them to numbers or remove the column",
    )
