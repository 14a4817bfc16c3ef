"""A fixed number of rows drawn at random from a stream, the same however it is cut into batches."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from babysit.data.hashing import keys


@final
class RowSample:
    """Keeps the rows whose places have the smallest of numbers that look random."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen = 0
        self._keys = np.zeros(0, np.uint64)
        self._rows: NDArray[np.float32] | None = None

    def add(self, rows: NDArray[np.float32]) -> None:
        """Offer rows of shape (rows, columns)."""
        offered = keys(self._seen, len(rows))
        self._seen += len(rows)
        full = len(self._keys) == self._size
        better = offered < self._keys.max() if full else np.ones(len(rows), dtype=np.bool_)
        if not better.any():
            return
        all_keys = np.concatenate((self._keys, offered[better]))
        taken = rows[better]
        all_rows = taken if self._rows is None else np.concatenate((self._rows, taken))
        best = np.argsort(all_keys)[: self._size]
        self._keys, self._rows = all_keys[best], all_rows[best]

    def rows(self) -> NDArray[np.float32]:
        """What was drawn, of shape (rows, columns)."""
        return np.zeros((0, 0), np.float32) if self._rows is None else self._rows
