"""Counting of duplicate samples in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from babysit.data.hashing import Words

# Distinct hashes stored: counts are exact up to a million distinct samples, and need 16 MB.
CAPACITY: Final = 2**20


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class DuplicateCount:
    """Hashes and their counts; only hashes that end in `level` zero bits, 1 in 2**level of all."""

    hashes: Words  # sorted, each once
    times: NDArray[np.int64]
    level: int

    @property
    def exact(self) -> bool:
        """Check whether all hashes were counted."""
        return self.level == 0

    @property
    def duplicates(self) -> int:
        """Return the number of samples beyond the first of each value; an estimate unless `exact`."""
        return int(self.times.sum() - len(self.times)) << self.level

    def found_in(self, other: DuplicateCount) -> int:
        """Return how many of these samples also occur in the other set; an estimate unless both are `exact`."""
        level = max(self.level, other.level)
        here, there = _at_level(self, level), _at_level(other, level)
        return int(here.times[np.isin(here.hashes, there.hashes, assume_unique=True)].sum()) << level


@final
class DuplicateSketch:
    """Counts equal hashes; with too many distinct ones it samples a fixed share of them by hash value.

    Since the sampling is the same for every split, samples common to two splits are found among the sampled ones.
    Source: Gibbons 2001, Distinct sampling for highly-accurate answers to distinct values queries.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._count = DuplicateCount(hashes=np.zeros(0, np.uint64), times=np.zeros(0, np.int64), level=0)
        self._waiting: list[Words] = []
        self._waiting_count = 0

    def add(self, hashes: Words) -> None:
        """Count these hashes."""
        sampled = hashes[_ends_in_zeros(hashes, self._count.level)]
        self._waiting.append(sampled)
        self._waiting_count += len(sampled)
        if self._waiting_count > self._capacity // 4:
            self._merge()

    def counted(self) -> DuplicateCount:
        """Return the counts so far."""
        self._merge()
        return self._count

    def _merge(self) -> None:
        if not self._waiting_count:
            return
        new, new_times = np.unique(np.concatenate(self._waiting), return_counts=True)
        hashes = np.concatenate((self._count.hashes, new))
        order = np.argsort(hashes, kind="stable")  # a merge, because both parts are sorted
        hashes = hashes[order]
        starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
        times = np.add.reduceat(np.concatenate((self._count.times, new_times))[order], starts)
        hashes = hashes[starts]
        self._waiting, self._waiting_count = [], 0
        self._count = DuplicateCount(hashes=hashes, times=times, level=self._count.level)
        while len(self._count.hashes) > self._capacity:
            self._count = _at_level(self._count, self._count.level + 1)


def _at_level(counted: DuplicateCount, level: int) -> DuplicateCount:
    chosen = _ends_in_zeros(counted.hashes, level)
    return DuplicateCount(hashes=counted.hashes[chosen], times=counted.times[chosen], level=level)


def _ends_in_zeros(hashes: Words, level: int) -> NDArray[np.bool_]:
    ending: NDArray[np.bool_] = (hashes & np.uint64((1 << level) - 1)) == 0
    return ending
