"""Batches in an order determined by seed and epoch only.

Since no other random state is used, a training resumed at any epoch or batch sees the same batches, independent of any
other use of random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from babysit.data.samples import Samples
from babysit.records.errors import UserError


def shuffled(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return the indices 0 to count - 1 in the order of this epoch."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(count))


def batch_bounds(count: int, size: int) -> tuple[tuple[int, int], ...]:
    """Return first and one-past-last index of each batch; a single last sample joins the previous batch.

    BatchNorm cannot train on a batch of one sample, and dropping it would omit a sample.
    """
    if size < 1:
        raise UserError(f"the batch size is {size}", do="Give at least 1")
    starts = list(range(0, count, size))
    if len(starts) > 1 and size > 1 and count - starts[-1] == 1:
        starts.pop()
    return tuple(pairwise([*starts, count])) if starts else ()


def batches(
    samples: Samples, *, size: int, seed: int = 0, epoch: int = 0, shuffle: bool = True
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs (x, y) of `size` samples, each sample once; the same (seed, epoch) gives the same batches."""
    bounds = batch_bounds(len(samples), size)
    order = shuffled(len(samples), seed=seed, epoch=epoch) if shuffle else None
    for start, stop in bounds:
        if order is None:
            # Copies, like the shuffled ones: in-place operations of a model must not change the samples.
            yield samples.x[start:stop].clone(), samples.y[start:stop].clone()
        else:
            indices = order[start:stop].to(samples.x.device)
            # x[indices] is equivalent but takes three times as long (measured on 128 rows of 3,072 values).
            yield samples.x.index_select(0, indices), samples.y.index_select(0, indices)
