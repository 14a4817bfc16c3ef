"""Random sample of rows from a stream, independent of its division into batches."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from babysit.data.hashing import Words


@final
class Reservoir:
    """Keeps the rows whose indices have the smallest pseudorandom keys."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys = np.zeros(0, np.uint64)
        self._rows: NDArray[np.float32] | None = None

    def add(self, rows: NDArray[np.float32], offered: Words) -> None:
        """Offer rows of shape (rows, columns) with the `keys` of their indices."""
        if self._rows is None:
            self._rows = np.empty((self._size, rows.shape[1]), dtype=np.float32)
        if len(self._keys) == self._size:
            better = np.flatnonzero(offered < self._keys.max())
            offered, rows = offered[better], rows[better]
        if not len(rows):
            return
        held = len(self._keys)
        every = np.concatenate((self._keys, offered))
        best = np.argsort(every)[: self._size]
        old, new = best[best < held], best[best >= held]
        # New rows replace the removed ones; nothing else is moved.
        free = np.setdiff1d(np.arange(len(best)), old, assume_unique=True)
        self._rows[free] = rows[new - held]
        self._keys = np.concatenate((self._keys, np.zeros(len(best) - held, np.uint64)))
        self._keys[free] = every[new]

    def rows(self) -> NDArray[np.float32]:
        """Return the sampled rows, of shape (rows, columns)."""
        return np.zeros((0, 0), np.float32) if self._rows is None else self._rows[: len(self._keys)]
