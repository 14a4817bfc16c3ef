"""Rows of CSV and Parquet files as pyarrow tables of a few megabytes each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol, final

from babysit.data.numeric_parsing import numbers_only
from babysit.data.stream import LeftOut
from babysit.data.tables import MISSING, delimiter, first_line, is_text, plain_column, pyarrow_module
from babysit.records.errors import UserError

_BLOCK_BYTES: Final = 2**22  # of text parsed at a time; column types are those of the first block
_VALUES_AT_ONCE: Final = 2**20  # of a Parquet file


class RowSource(Protocol):
    """A table file that can be read repeatedly."""

    names: list[str]
    empty: Any  # a pyarrow table without rows, with the column types
    count: int | None  # number of rows, if known in advance
    number_text: set[str]  # text columns to be read as numbers; invalid rows are left out

    @property
    def position(self) -> float | None:
        """Return the fraction of the file that was read, when `count` is not known."""
        ...

    def read(self, columns: list[str], target: str) -> Iterator[Any]:
        """Yield tables of these columns; only the target may contain text."""
        ...


def row_source(path: Path, *, skip_invalid: bool, left_out: LeftOut) -> RowSource:
    """Open the file and read its columns; raise UserError if it is not a table."""
    pyarrow_module()
    if path.suffix.lower() in {".parquet", ".pq"}:
        return _Parquet(path, left_out=left_out)
    return _Csv(path, skip_invalid=skip_invalid, left_out=left_out)


@final
class _Parquet:
    def __init__(self, path: Path, *, left_out: LeftOut) -> None:
        from pyarrow import ArrowException, parquet

        self._path = path
        self._left_out = left_out
        self.number_text: set[str] = set()
        try:
            with parquet.ParquetFile(path) as file:
                self.count: int | None = file.metadata.num_rows
                self.empty = file.schema_arrow.empty_table()
        except (ArrowException, OSError, ValueError) as problem:
            raise UserError(f"this is not a readable Parquet file: {first_line(problem)}", where=str(path)) from problem
        self.names = [str(name) for name in self.empty.column_names]

    @property
    def position(self) -> float | None:
        return None

    def read(self, columns: list[str], target: str) -> Iterator[Any]:
        from pyarrow import ArrowException, Table, parquet

        rows = max(256, _VALUES_AT_ONCE // max(1, len(columns)))
        try:
            # Without read-ahead, which would load the whole file into memory.
            with parquet.ParquetFile(self._path, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=rows, columns=columns):
                    batch.validate(full=True)
                    table = Table.from_batches([batch])
                    yield _cleaned(table, dict.fromkeys(self.number_text.intersection(columns), False), self._left_out)
        except (ArrowException, OSError, ValueError) as problem:
            raise UserError(
                f"this is not a readable Parquet file: {first_line(problem)}", where=str(self._path)
            ) from problem


@final
class _Csv:
    def __init__(self, path: Path, *, skip_invalid: bool, left_out: LeftOut) -> None:
        self._path = path
        self._skip_invalid = skip_invalid
        self._left_out = left_out
        self._size = max(1, path.stat().st_size)
        self._read = 0
        self.count: int | None = None
        self.number_text: set[str] = set()
        with path.open("rb") as file:
            self._start = file.readline(2**24) + file.read(4096)
        if b"\0" in self._start:
            raise UserError("this is not a text file", where=str(path), do="Give comma-separated text in UTF-8")
        self.empty = next(iter(self._tables({}, None))).slice(0, 0)
        self.names = [str(name) for name in self.empty.column_names]

    @property
    def position(self) -> float | None:
        return self._read / self._size

    def read(self, columns: list[str], target: str) -> Iterator[Any]:
        from pyarrow import types

        kinds = {name: self._type(name, is_target=name == target) for name in columns}
        numeric = [name for name in columns if name != target and not self._is_text(name)] if self._skip_invalid else []
        truths = {name: types.is_boolean(self.empty.schema.field(name).type) for name in numeric}
        truths |= dict.fromkeys(self.number_text.intersection(columns), False)
        for table in self._tables(kinds, columns):
            yield _cleaned(table, truths, self._left_out)

    def _is_text(self, name: str) -> bool:
        return is_text(plain_column(self.empty.column(name)))

    def _type(self, name: str, *, is_target: bool) -> Any:
        """Return the type to read a column as: integers may be followed by fractions."""
        from pyarrow import bool_, float64, string, types

        kind = self.empty.schema.field(name).type
        if self._is_text(name) or (self._skip_invalid and not is_target):
            return string()
        if types.is_boolean(kind):
            return bool_()
        return float64() if types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind) else kind

    def _tables(self, types: dict[str, Any], columns: list[str] | None) -> Iterator[Any]:
        from pyarrow import ArrowException, Table, csv

        header = self._start.split(b"\n", 1)[0]
        try:
            with (
                self._path.open("rb") as file,
                csv.open_csv(
                    file,
                    read_options=csv.ReadOptions(block_size=max(_BLOCK_BYTES, 8 * len(header))),
                    parse_options=csv.ParseOptions(
                        delimiter=delimiter(self._start),
                        invalid_row_handler=self._ragged if self._skip_invalid else None,
                    ),
                    convert_options=csv.ConvertOptions(
                        null_values=list(MISSING),
                        strings_can_be_null=True,
                        column_types=types,
                        include_columns=columns or [],
                    ),
                ) as reader,
            ):
                if columns is None:
                    yield reader.schema.empty_table()
                for batch in reader:
                    batch.validate(full=True)
                    self._read = file.tell()
                    yield Table.from_batches([batch])
        except (ArrowException, OSError, ValueError) as problem:
            raise UserError(
                f"this is not a readable table: {self._error_text(first_line(problem), columns)}",
                where=str(self._path),
                do="Give text in UTF-8 with one header line and equally many values in every row, all of the type that "
                "its column begins with; or skip such rows with --skip-invalid",
            ) from problem

    def _error_text(self, text: str, columns: list[str] | None) -> str:
        """Return pyarrow's message with column names instead of numbers."""
        for index, name in enumerate(columns or []):
            text = text.replace(f"In CSV column #{index}:", f"in the column {name!r:.60}:")
        return text

    def _ragged(self, row: Any) -> str:
        self._left_out.add("rows with too many or too few values", count=1)
        return "skip"


def _cleaned(table: Any, truths: dict[str, bool], left_out: LeftOut) -> Any:
    """Convert text columns of the table to numbers; count the invalid rows."""
    table, count = numbers_only(table, truths)
    if count:
        left_out.add("rows with text in a numeric column", count=count)
    return table
