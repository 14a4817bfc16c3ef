"""`streaming_profile`: a profile of data of any size, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
from numpy.typing import NDArray

from babysit.data.drift import drifted_classes, drifted_features
from babysit.data.duplicate_sketch import DuplicateCount, DuplicateSketch
from babysit.data.hashing import Words, column_hashes, keys, label_hashes, row_hashes, scrambled, words
from babysit.data.moments import (
    CrossProducts,
    Moments,
    merged,
    merged_cross_products,
    moments,
    moments_and_cross_products,
)
from babysit.data.reservoir import Reservoir
from babysit.data.stream import Batch, Stream
from babysit.data.targets import Targets, class_counts, class_names, mean_and_variance
from babysit.records.dataprofile import DataProfile, Drift, SplitProfile
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress

_SPLITS: Final[tuple[str, ...]] = ("train", "validation", "test")
_VALUES_AT_ONCE: Final = 2**18  # values per float64 copy (2 MB), which fits into a core's cache
# Rows sampled to compare splits: a distance of 0.1 is then highly significant. Wide rows are fewer: 8 MB at most.
_ROWS_KEPT: Final = 2048
_VALUES_KEPT: Final = 2**21
# The covariance costs features² per sample; up to here less than everything else together.
_MOST_CORRELATED: Final = 64
_MOST_DUPLICATES: Final = 20  # groups of equal features that are reported


def streaming_profile(stream: Stream, *, preprocessing: str = "", progress: Progress | None = None) -> DataProfile:
    """Compute statistics of each split of a stream, its problems, and the differences between splits.

    Values are converted to float32, like `Samples`; statistics are computed in float64. Features are the columns of a
    table and the channels of images. `duplicates` counts samples beyond the first of each value within a split,
    `leaked` those that also occur in the training split; beyond a million distinct samples both are estimates. The
    fingerprint depends on the samples only, not on their order, split or source name.
    Raises UserError when there are no samples, or when their shapes differ.
    """
    bar = None if progress is None else progress.add_task("Reading data", total=stream.samples or 100)
    splits: dict[str, _Split] = {}
    done = 0
    for batch in stream:
        if len(batch.x) == 0:
            continue
        splits.setdefault(batch.split, _Split(batch)).add(batch)
        done += len(batch.x)
        if progress is not None and bar is not None:
            share = stream.position()
            progress.update(bar, completed=done if stream.samples else 100 * (share or 0.0))
    if not splits:
        notes = f" ({'; '.join(stream.left_out.notes)})" if stream.left_out.total else ""
        raise UserError(f"there are no samples{notes}", where=stream.source, do="Give data with at least one sample")
    shapes = {split.input_shape for split in splits.values()}
    if len(shapes) > 1:
        raise UserError(
            f"the splits contain samples of different shapes: {' and '.join(map(str, sorted(shapes)))}",
            where=stream.source,
            do="Give all splits the same features",
        )
    ordered = {name: splits[name] for name in _SPLITS if name in splits}
    return _to_profile(stream, ordered, preprocessing)


@final
class _Split:
    """Accumulated statistics of one split."""

    def __init__(self, first: Batch) -> None:
        self.input_shape = first.x.shape[1:]
        self.samples = 0
        self.features: Moments | None = None
        self.cross_products: CrossProducts | None = None
        self.columns: Words = np.zeros(self.input_shape[0], np.uint64)
        self.targets = Targets()
        self.inputs = DuplicateSketch()
        self.fingerprint = 0
        self.is_table = first.x.ndim == 2
        columns = self.input_shape[0] * (1 if self.is_table else 2)
        self.drawn = Reservoir(min(_ROWS_KEPT, max(64, _VALUES_KEPT // columns)))

    def add(self, batch: Batch) -> None:
        if batch.x.shape[1:] != self.input_shape:
            raise UserError(
                f"samples of different shapes: {self.input_shape} and {batch.x.shape[1:]}",
                do="Give samples of one shape",
            )
        rows = max(1, _VALUES_AT_ONCE // max(1, int(np.prod(self.input_shape))))
        for start in range(0, len(batch.x), rows):
            piece = batch.x[start : start + rows]
            self._add(piece, None if batch.y is None else batch.y[start : start + rows])

    def _add(self, piece: NDArray[Any], y: NDArray[Any] | None) -> None:
        with np.errstate(over="ignore"):
            # Tables in column order: all operations but row sampling run along columns.
            x = np.require(piece, np.float32, "F" if self.is_table else "C")
        expanded = words(x.reshape(len(x), -1))
        hashes = row_hashes(expanded)
        self.inputs.add(hashes)
        row_keys = keys(self.samples, len(x))
        if self.is_table:
            self.columns += column_hashes(expanded, row_keys)
        self._add_moments(x)
        self.drawn.add(x if self.is_table else _by_channel(x), row_keys)
        if y is not None:
            self.targets.add(y)
            hashes = scrambled(hashes ^ label_hashes(y))
        self.fingerprint += int(hashes.sum(dtype=np.uint64))
        self.samples += len(x)

    def _add_moments(self, x: NDArray[np.float32]) -> None:
        if self.is_table and x.shape[1] <= _MOST_CORRELATED:
            more, together = moments_and_cross_products(x)
            self.cross_products = merged_cross_products(self.cross_products, together)
        else:
            more = moments(x)
        self.features = merged(self.features, more)


def _by_channel(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mean and standard deviation of each image's channels, which depend on lighting, scale and contrast."""
    pixels = x.reshape(*x.shape[:2], -1)
    return np.concatenate((pixels.mean(axis=2), pixels.std(axis=2)), axis=1)


def _to_profile(stream: Stream, splits: dict[str, _Split], preprocessing: str) -> DataProfile:
    classes = stream.class_names or class_names([split.targets for split in splits.values()])
    seen = {name: split.inputs.counted() for name, split in splits.items()}
    profiles = tuple(
        _split_profile(name, split, classes, seen[name], seen.get("train")) for name, split in splits.items()
    )
    first = next(iter(splits.values()))
    names = _names(stream, first)
    equal = _equal_features(splits, names) if first.is_table else ()
    combined = sum(split.fingerprint + split.samples for split in splits.values()) % 2**64
    return DataProfile(
        source=stream.source,
        kind=stream.kind or ("table" if first.is_table else "image"),
        fingerprint=f"{combined:016x}",
        class_names=tuple(classes),
        feature_names=stream.feature_names,
        splits=profiles,
        shared=sum(profile.leaked for profile in profiles),
        preprocessing=preprocessing,
        skipped=stream.left_out.total,
        duplicate_features=equal,
        drift=_drift(splits, profiles, names),
        explained=first.cross_products.explained if first.cross_products is not None else np.zeros(0),
        notes=(*stream.notes(), *stream.left_out.notes),
    )


def _split_profile(
    name: str, split: _Split, classes: Sequence[str], seen: DuplicateCount, train: DuplicateCount | None
) -> SplitProfile:
    features = split.features
    assert features is not None
    mean, std = features.overall
    counts = class_counts(split.targets, classes) if classes else ()
    target_mean, target_variance = mean_and_variance(split.targets, counts)
    other = train if name != "train" else None
    return SplitProfile(
        split=name,
        samples=split.samples,
        input_shape=split.input_shape,
        low=float(features.low.min()),
        high=float(features.high.max()),
        mean=mean,
        std=std,
        nonfinite=int(features.missing.sum()),
        feature_mean=features.mean,
        feature_std=features.std,
        constant_features=int(features.constant.sum()),
        class_counts=counts,
        target_mean=target_mean,
        target_variance=target_variance,
        duplicates=seen.duplicates,
        leaked=seen.found_in(other) if other is not None else 0,
        estimated=not (seen.exact and (other is None or other.exact)),
        feature_nonfinite=features.missing,
        unlabelled=split.targets.missing,
    )


def _names(stream: Stream, first: _Split) -> tuple[str, ...]:
    """Return a name for each column of the sampled rows."""
    count = first.input_shape[0]
    if first.is_table:
        return stream.feature_names or tuple(str(index) for index in range(count))
    return tuple(f"{what} of channel {index}" for what in ("mean", "std") for index in range(count))


def _equal_features(splits: dict[str, _Split], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return groups of features that are equal in every split, except constant ones."""
    moments_of_splits = [split.features for split in splits.values() if split.features is not None]
    constant = np.all([one.constant for one in moments_of_splits], axis=0)
    groups: dict[tuple[int, ...], list[str]] = {}
    for index, name in enumerate(names):
        if not constant[index]:
            groups.setdefault(tuple(int(split.columns[index]) for split in splits.values()), []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)[:_MOST_DUPLICATES]


def _drift(splits: dict[str, _Split], profiles: Sequence[SplitProfile], names: Sequence[str]) -> tuple[Drift, ...]:
    train = splits.get("train")
    if train is None:
        return ()
    found: list[Drift] = []
    for (name, split), profile in zip(splits.items(), profiles, strict=True):
        if name != "train":
            found += drifted_classes(profiles[0].class_counts, profile.class_counts, split=name)
            found += drifted_features(train.drawn.rows(), split.drawn.rows(), names=names, split=name)
    return tuple(found)
