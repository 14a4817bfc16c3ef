"""Profile of the samples of a training: statistics of every split, in float64, and a fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.data.stream import Batch, Stream
from babysit.data.streaming_profile import streaming_profile
from babysit.records.dataprofile import DataProfile
from babysit.records.model_summary import Task

_ROWS_AT_ONCE = 8192  # labels converted to text at a time


def profile(splits: Splits, *, preprocessing: str = "") -> DataProfile:
    """Compute the statistics of each non-empty split; `preprocessing` describes what the model does to the inputs.

    The values are defined in `streaming_profile`, which computes them for sources of any size.
    """
    found = streaming_profile(stream_of(splits), preprocessing=preprocessing)
    return msgspec.structs.replace(found, skipped=splits.train.skipped, notes=splits.train.notes)


def stream_of(splits: Splits) -> Stream:
    """Stream the samples of all splits in batches that share their memory."""
    train = splits.train
    parts = {"train": train, "validation": splits.validation, "test": splits.test}

    def batches() -> Iterator[Batch]:
        for name, samples in parts.items():
            for start in range(0, len(samples), _ROWS_AT_ONCE):
                stop = start + _ROWS_AT_ONCE
                yield Batch(samples.x[start:stop].numpy(), _labels(samples, start, stop), name)

    return Stream(
        source=train.source,
        kind=train.kind,
        open=batches,
        feature_names=train.feature_names,
        class_names=train.class_names,
        samples=sum(len(samples) for samples in parts.values()),
    )


def _labels(samples: Samples, start: int, stop: int) -> NDArray[Any]:
    """Return targets as in a source: class names, or numbers."""
    y: NDArray[Any] = samples.y[start:stop].numpy()
    if samples.task is Task.CLASSES:
        return np.asarray(np.array(samples.class_names)[y])
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
