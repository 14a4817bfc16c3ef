"""Numeric columns with a few text cells: detected, reported, and cleaned row by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from babysit.records.errors import UserError

# Numbers; pyarrow reads all of these.
_NUMBER: Final = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[iI]nf(inity)?|[nN]a[nN])$"
_TRUTH: Final = "^(?i:true|false|0|1)$"
# Text that is numeric in most of its distinct values is a numeric column with typing errors; identifiers such as "A12"
# are never numbers, nor are dates and names.
MOSTLY: Final = 0.5


def stray_text(values: Any) -> tuple[int, str] | None:
    """Return the number of non-numeric texts and the first of them; None when most or none are non-numeric.

    `values` is a pyarrow array or column of text, which may contain nulls.
    """
    from pyarrow import compute

    known = values.drop_null()
    fine = compute.match_substring_regex(compute.utf8_trim_whitespace(known), _NUMBER)
    odd = known.filter(compute.invert(fine))
    if not len(odd) or len(odd) > (1 - MOSTLY) * len(known):
        return None
    return len(odd), str(odd[0].as_py())


def refuse_stray_text(name: str, found: tuple[int, str], path: Path) -> None:
    """Raise UserError for a numeric column that contains text."""
    count, first = found
    raise UserError(
        f"the column {name!r:.60} contains numbers, but also {first!r:.40}"
        + (f" and {count - 1} other texts" if count > 1 else ""),
        where=str(path),
        do="Correct or clear these cells, or skip such rows with skip_invalid (--skip-invalid)",
    )


def numbers_only(table: Any, truths: Mapping[str, bool]) -> tuple[Any, int]:
    """Convert text columns of the table to numbers; return it without the invalid rows, and the number of these.

    The keys of `truths` are the columns; its values are True for boolean columns.
    """
    from pyarrow import bool_, compute, float64

    wrong = None
    for name, is_truth in truths.items():
        text = compute.utf8_trim_whitespace(table.column(name).cast("string"))  # also for Parquet's categories
        fine = compute.match_substring_regex(text, _TRUTH if is_truth else _NUMBER)
        bad = compute.fill_null(compute.invert(fine), False)  # noqa: FBT003  positional in pyarrow
        wrong = bad if wrong is None else compute.or_(wrong, bad)
        clean = compute.if_else(compute.fill_null(fine, False), text, None)  # noqa: FBT003
        kind: Any = bool_() if is_truth else float64()
        table = table.set_column(table.column_names.index(name), name, clean.cast(kind))
    count = int(compute.sum(wrong).as_py() or 0) if wrong is not None else 0
    return (table.filter(compute.invert(wrong)) if count else table), count
