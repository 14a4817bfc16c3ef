"""Streams over arrays, array archives, Datasets and DataLoaders."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from babysit.data.archives import array_keys, read_archive
from babysit.data.arrays import as_array, with_channels
from babysit.data.stream import Batch, LeftOut, Stream, complete_only
from babysit.records.errors import UserError

_VALUES_AT_ONCE: Final = 2**20
_READ_AT_ONCE: Final = 256  # samples of a Dataset per batch; affects only memory and speed


def stream_arrays(
    parts: Mapping[str, tuple[Any, Any]], *, source: str = "arrays", skip_invalid: bool = False
) -> Stream:
    """Stream splits given as pairs (x, y) of arrays of equal length; y may be None, shapes as for `make_samples`."""
    arrays = {
        name: (as_array(x, "x"), None if y is None else as_array(y, "y")) for name, (x, y) in parts.items() if len(x)
    }
    for x, y in arrays.values():
        if x.ndim < 2 or x.dtype.kind not in "biuf" or (y is not None and (y.ndim == 0 or len(y) != len(x))):
            raise UserError(
                f"x and y must be rows of numbers with one target each: x is {x.dtype} of shape {x.shape}, "
                f"y has shape {None if y is None else y.shape}",
                where=source,
            )

    def batches() -> Iterator[Batch]:
        for name, (x, y) in arrays.items():
            rows = _rows(x.shape)
            for start in range(0, len(x), rows):
                yield Batch(x[start : start + rows], None if y is None else y[start : start + rows], name)

    if not arrays:
        raise UserError("there are no samples", where=source, do="Give data with at least one row")
    return _stream(batches, source, sum(len(x) for x, _ in arrays.values()), skip_invalid=skip_invalid)


def stream_archive(path: Path, *, target: str | None = None, skip_invalid: bool = False) -> Stream:
    """Stream an `.npz` file; inputs are read in pieces, targets at once. `x_test` and `y_test` are the test split."""
    headers = _headers(path)
    if headers is None:  # not readable in pieces: NumPy reads the whole file, or reports the error
        arrays = read_archive(path)
        x_key, y_key = array_keys({key: value.shape for key, value in arrays.items()}, path, target)
        keys = {"train": (x_key, y_key)} | _test_keys(x_key, y_key, arrays)
        return stream_arrays(
            {split: (arrays[x], arrays[y]) for split, (x, y) in keys.items()},
            source=str(path),
            skip_invalid=skip_invalid,
        )
    x_key, y_key = array_keys({key: header.shape for key, header in headers.items()}, path, target)
    keys = {"train": (x_key, y_key)} | _test_keys(x_key, y_key, headers)
    for x, y in keys.values():
        if len(headers[x].shape) < 2 or headers[x].shape[:1] != headers[y].shape[:1]:
            raise UserError(
                f"{x} and {y} must have one row per sample: their shapes are {headers[x].shape} and {headers[y].shape}",
                where=str(path),
            )

    def batches() -> Iterator[Batch]:
        for split, (x, y) in keys.items():
            start = 0
            targets = np.concatenate(list(_pieces(path, y, headers[y]))) if math.prod(headers[y].shape) else None
            for piece in _pieces(path, x, headers[x]):
                yield Batch(piece, None if targets is None else targets[start : start + len(piece)], split)
                start += len(piece)

    samples = sum(headers[x].shape[0] for x, _ in keys.values())
    return _stream(batches, str(path), samples, skip_invalid=skip_invalid)


def _test_keys(x_key: str, y_key: str, names: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    pair = (x_key.replace("train", "test"), y_key.replace("train", "test"))
    return {"test": pair} if "train" in x_key and all(name in names for name in pair) else {}


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _headers(path: Path) -> dict[str, _Header] | None:
    """Return shapes and types of all arrays; None when one of them cannot be read in pieces."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    if npy.read_magic(member) != (1, 0):
                        return None
                    shape, by_columns, dtype = npy.read_array_header_1_0(member)
                if (by_columns and len(shape) > 1) or dtype.hasobject or not shape:
                    return None
                found[name.removesuffix(".npy")] = _Header(shape, dtype)
    # Errors are reported when NumPy reads the whole file.
    except Exception:
        return None
    return found


def _pieces(path: Path, name: str, header: _Header) -> Iterator[NDArray[Any]]:
    rows, width = _rows(header.shape), math.prod(header.shape[1:]) * header.dtype.itemsize
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            npy.read_magic(member)
            npy.read_array_header_1_0(member)
            for start in range(0, header.shape[0], rows):
                count = min(rows, header.shape[0] - start)
                content = member.read(count * width)
                yield np.frombuffer(content, dtype=header.dtype).reshape(count, *header.shape[1:])
    except UserError:
        raise
    except Exception as problem:  # a damaged archive may raise many kinds of errors
        raise UserError(f"the array {name!r} is not readable to its end: {problem}", where=str(path)) from problem


def stream_loaders(parts: Mapping[str, Any], *, source: str, skip_invalid: bool = False) -> Stream:
    """Stream splits given as Datasets, DataLoaders, or iterables of batches: tensors, arrays, or pairs (x, y).

    An iterable that can be consumed only once gives a stream that can be read only once. The random state of the
    caller is restored.
    """
    loaders = {name: _loader(part) for name, part in parts.items()}

    def batches() -> Iterator[Batch]:
        for name, loader in loaders.items():
            state = torch.get_rng_state()  # a DataLoader uses it
            try:
                for item in loader:
                    yield _batch(item, name, source)
            finally:
                torch.set_rng_state(state)

    return _stream(batches, source, None, skip_invalid=skip_invalid)


def _loader(part: Any) -> Iterable[Any]:
    if isinstance(part, Dataset):
        return DataLoader(part, batch_size=_READ_AT_ONCE, shuffle=False, generator=torch.Generator().manual_seed(0))
    loader: Iterable[Any] = part
    return loader


def _batch(item: Any, split: str, source: str) -> Batch:
    pair = item if isinstance(item, tuple | list) and len(item) == 2 else (item, None)
    if not isinstance(pair[0], Tensor | np.ndarray):
        kind = f"{len(item)} parts" if isinstance(item, tuple | list) else type(item).__name__
        raise UserError(f"a batch must be a pair (x, y) of tensors, not {kind}", where=source, do="Give (x, y) or x")
    x, y = as_array(pair[0], "x"), None if pair[1] is None else as_array(pair[1], "y")
    if y is not None and (y.ndim == 0 or len(y) != len(x)):
        raise UserError(f"a batch of {len(x)} samples has targets of shape {y.shape}", where=source)
    return Batch(x, y, split)


def _stream(opened: Callable[[], Iterator[Batch]], source: str, samples: int | None, *, skip_invalid: bool) -> Stream:
    """Create a stream of these batches in channels-first layout."""
    left_out = LeftOut()
    notes: set[str] = set()

    def batches() -> Iterator[Batch]:
        for batch in opened():
            if batch.x.dtype.kind not in "biuf":
                raise UserError(f"x holds values of type {batch.x.dtype}, not real numbers", where=source)
            x, _, note = with_channels(batch.x, source)
            notes.update([note] if note else [])
            placed = Batch(x, _targets(batch.y), batch.split)
            yield complete_only(placed, left_out) if skip_invalid else placed

    return Stream(source=source, open=batches, samples=samples, left_out=left_out, notes=lambda: tuple(sorted(notes)))


def _targets(y: NDArray[Any] | None) -> NDArray[Any] | None:
    """Remove the axis of a single target column; convert booleans to text, as `read_target` does."""
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    return y.astype(str) if y is not None and y.dtype == bool else y


def _rows(shape: tuple[int, ...]) -> int:
    return max(1, _VALUES_AT_ONCE // max(1, math.prod(shape[1:])))
