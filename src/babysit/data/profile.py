"""What the data are: statistics of every split, in float64, and a fingerprint."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.records.anatomy import Task
from babysit.records.dataprofile import DataProfile, SplitProfile

_ROWS_AT_ONCE = 1024  # float64 copies are made of so many samples at a time


def profile(splits: Splits, *, preprocessing: str = "") -> DataProfile:
    """Statistics of each split that has samples; `preprocessing` says in words what the model does to the inputs.

    `feature_mean` and `feature_std` hold one value a feature of a table or a channel of images. `duplicates` counts
    the samples beyond the first of their kind within a split, `leaked` those that are in the training split as well.
    The fingerprint depends on the samples and on nothing else: not on their order, the split or the source's name.
    """
    named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    digests = {name: _digests(samples) for name, samples in named.items()}
    learned = set(digests["train"].inputs)
    return DataProfile(
        source=splits.train.source,
        kind=splits.train.kind,
        fingerprint=_fingerprint([one for split in digests.values() for one in split.samples]),
        class_names=splits.train.class_names,
        feature_names=splits.train.feature_names,
        splits=tuple(
            _split_profile(name, samples, digests[name].inputs, set() if name == "train" else learned)
            for name, samples in named.items()
            if len(samples)
        ),
        preprocessing=preprocessing,
    )


class _Digests(NamedTuple):
    inputs: list[bytes]  # of each sample's input
    samples: list[bytes]  # of each sample's input and target


def _digests(samples: Samples) -> _Digests:
    x, y = samples.x.numpy(), samples.y.numpy()
    inputs, whole = [], []
    for row, target in zip(x, y, strict=True):
        # Adding zero makes -0.0 and 0.0 the same sample, as they are for any network.
        hashed = hashlib.blake2b((row + 0.0).tobytes(), digest_size=16)
        inputs.append(hashed.digest())
        hashed.update(target.tobytes())
        whole.append(hashed.digest())
    return _Digests(inputs, whole)


def _fingerprint(digests: list[bytes]) -> str:
    return hashlib.blake2b(b"".join(sorted(digests)), digest_size=8).hexdigest()


def _split_profile(name: str, samples: Samples, digests: list[bytes], learned: set[bytes]) -> SplitProfile:
    x = samples.x.numpy()
    moments = _moments(x)
    targets = samples.y.numpy().astype(np.float64)
    classes = samples.task is Task.CLASSES
    counts = np.bincount(samples.y.numpy(), minlength=samples.outputs) if classes else ()
    return SplitProfile(
        split=name,
        samples=len(samples),
        input_shape=samples.input_shape,
        low=float(x.min()),
        high=float(x.max()),
        mean=float(moments.mean.mean()),
        # Every feature has as many values, so the whole's variance is the mean within plus the variance between.
        std=float(np.sqrt((moments.std**2).mean() + moments.mean.var())),
        nonfinite=int((~np.isfinite(x)).sum()),
        feature_mean=moments.mean,
        feature_std=moments.std,
        constant_features=int(moments.constant.sum()),
        class_counts=tuple(int(count) for count in counts),
        target_mean=float(targets.mean()),
        target_variance=float(targets.var(axis=0).mean()),
        duplicates=len(digests) - len(set(digests)),
        leaked=sum(digest in learned for digest in digests),
    )


class _Moments(NamedTuple):
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    constant: NDArray[np.bool_]


def _moments(x: NDArray[np.float32]) -> _Moments:
    """Mean and standard deviation of each feature or channel, in two passes over float64 pieces."""
    axes = (0, *range(2, x.ndim))
    per_feature = x.size // x.shape[1]
    pieces = [x[start : start + _ROWS_AT_ONCE] for start in range(0, len(x), _ROWS_AT_ONCE)]
    mean = sum((piece.sum(axis=axes, dtype=np.float64) for piece in pieces), np.zeros(x.shape[1])) / per_feature
    shape = (1, -1, *([1] * (x.ndim - 2)))
    square = sum(
        (((piece.astype(np.float64) - mean.reshape(shape)) ** 2).sum(axis=axes) for piece in pieces),
        np.zeros(x.shape[1]),
    )
    return _Moments(mean, np.sqrt(square / per_feature), x.min(axis=axes) == x.max(axis=axes))
