"""`open_stream`: batches from any supported source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from babysit.data.array_stream import stream_archive, stream_arrays, stream_loaders
from babysit.data.digits import load_digits
from babysit.data.image_files import is_archive
from babysit.data.images import stream_images
from babysit.data.profile import stream_of
from babysit.data.sources import TABLES, find_source
from babysit.data.splits import Splits
from babysit.data.stream import Batch, LeftOut, Stream
from babysit.data.table_stream import stream_table
from babysit.records.errors import UserError


def open_stream(
    source: Any, *, target: str | None = None, skip_invalid: bool = False, workers: int | None = None
) -> Stream:
    """Open a stream over data of any size; only a few megabytes are in memory at a time.

    Args:
        source: as for `load_data`; or a DataLoader or any iterable of batches; or existing splits: a `Splits`, or a
            dictionary from train, validation and test to any of these.
        target: the column of a table, or the array of an .npz file, to predict; optional for tables.
        skip_invalid: leave out and count samples with missing values and unusable images.
        workers: processes that decode images; default: number of cores, 0 for none.

    Raises:
        UserError: the source cannot be read; errors further on are raised when they are reached.
    """
    if isinstance(source, Splits):
        return stream_of(source)
    if isinstance(source, Mapping):
        return _joined(source, target=target, skip_invalid=skip_invalid, workers=workers)
    if isinstance(source, str | Path):
        path = find_source(source, target=target)
        if path is None:
            samples = load_digits()
            return stream_of(Splits(train=samples, validation=samples.take([]), test=samples.take([])))
        if path.is_dir() or is_archive(path):
            return stream_images(path, skip_invalid=skip_invalid, workers=workers)
        stream = stream_table if path.suffix.lower() in TABLES else stream_archive
        return stream(path, target=target, skip_invalid=skip_invalid)
    if target is not None:
        raise UserError("a target column requires a table or .npz file", do="Omit the target")
    if isinstance(source, tuple | list) and len(source) == 2:
        return stream_arrays({"train": (source[0], source[1])}, skip_invalid=skip_invalid)
    if isinstance(source, DataLoader | Dataset | Iterable):
        return stream_loaders({"train": source}, source=type(source).__name__, skip_invalid=skip_invalid)
    raise UserError(f"data cannot be read from a {type(source).__name__}", do="Give a path, (X, y) or batches")


def _joined(parts: Mapping[str, Any], *, target: str | None, skip_invalid: bool, workers: int | None) -> Stream:
    """Join several sources to one stream, each as one split."""
    unknown = [name for name in parts if name not in ("train", "validation", "test")]
    if unknown or not parts:
        raise UserError(f"invalid splits: {', '.join(unknown) or 'none'}", do="Name them train, validation, test")
    streams = {
        name: open_stream(part, target=target, skip_invalid=skip_invalid, workers=workers)
        for name, part in parts.items()
    }
    first = next(iter(streams.values()))
    for name, stream in streams.items():
        if stream.feature_names != first.feature_names:
            different = sorted(set(stream.feature_names) ^ set(first.feature_names)) or ["their order"]
            raise UserError(
                f"{first.source} and {stream.source} do not have the same features: {', '.join(different[:5])}",
                where=name,
                do="Give all splits the same columns",
            )
    left_out = LeftOut()

    def batches() -> Iterator[Batch]:
        for name, stream in streams.items():
            for batch in stream:
                yield batch._replace(split=name)
            left_out.take(stream.left_out)

    counts = [stream.samples for stream in streams.values()]
    known = [count for count in counts if count is not None]
    return Stream(
        source=", ".join(stream.source for stream in streams.values()),
        open=batches,
        kind=first.kind,
        feature_names=first.feature_names,
        samples=sum(known) if len(known) == len(counts) else None,
        left_out=left_out,
        notes=lambda: tuple(dict.fromkeys(note for stream in streams.values() for note in stream.notes())),
    )
