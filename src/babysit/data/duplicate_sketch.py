"""How many samples are the same, counted in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from babysit.data.hashing import Words

# Different hashes kept: counts are exact up to a million different samples, and need 16 MB.
CAPACITY: Final = 2**20


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class DuplicateCount:
    """Hashes that were seen, and how often; only those that end in `level` zero bits, so 1 in 2**level of all."""

    hashes: Words  # sorted, each once
    times: NDArray[np.int64]
    level: int

    @property
    def exact(self) -> bool:
        """Whether every hash was kept."""
        return self.level == 0

    @property
    def duplicates(self) -> int:
        """Samples beyond the first of their kind; an estimate unless `exact`."""
        return int(self.times.sum() - len(self.times)) << self.level

    def found_in(self, other: DuplicateCount) -> int:
        """How many of these samples occur in the other set as well; an estimate unless both are `exact`."""
        level = max(self.level, other.level)
        here, there = _at_level(self, level), _at_level(other, level)
        return int(here.times[np.isin(here.hashes, there.hashes, assume_unique=True)].sum()) << level


@final
class DuplicateSketch:
    """Counts equal hashes; when too many are different it keeps a fixed share of them, chosen by the hash itself.

    Because the choice is the same for every split, what occurs in two splits is found among the kept ones as well.
    Source: Gibbons 2001, Distinct sampling for highly-accurate answers to distinct values queries.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept = DuplicateCount(hashes=np.zeros(0, np.uint64), times=np.zeros(0, np.int64), level=0)
        self._waiting: list[Words] = []
        self._waiting_count = 0

    def add(self, hashes: Words) -> None:
        """Count these as well."""
        kept = hashes[_ends_in_zeros(hashes, self._kept.level)]
        self._waiting.append(kept)
        self._waiting_count += len(kept)
        if self._waiting_count > self._capacity // 4:
            self._merge()

    def counted(self) -> DuplicateCount:
        """What was counted so far."""
        self._merge()
        return self._kept

    def _merge(self) -> None:
        if not self._waiting_count:
            return
        new, new_times = np.unique(np.concatenate(self._waiting), return_counts=True)
        hashes = np.concatenate((self._kept.hashes, new))
        order = np.argsort(hashes, kind="stable")  # which only merges, because both parts are sorted
        hashes = hashes[order]
        starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
        times = np.add.reduceat(np.concatenate((self._kept.times, new_times))[order], starts)
        hashes = hashes[starts]
        self._waiting, self._waiting_count = [], 0
        self._kept = DuplicateCount(hashes=hashes, times=times, level=self._kept.level)
        while len(self._kept.hashes) > self._capacity:
            self._kept = _at_level(self._kept, self._kept.level + 1)


def _at_level(counted: DuplicateCount, level: int) -> DuplicateCount:
    chosen = _ends_in_zeros(counted.hashes, level)
    return DuplicateCount(hashes=counted.hashes[chosen], times=counted.times[chosen], level=level)


def _ends_in_zeros(hashes: Words, level: int) -> NDArray[np.bool_]:
    ending: NDArray[np.bool_] = (hashes & np.uint64((1 << level) - 1)) == 0
    return ending
