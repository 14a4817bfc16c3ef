"""Samples that pass by in batches, from whatever size of source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

from numpy.typing import NDArray

from babysit.data.arrays import complete, first_few

_MOST_NAMED = 20  # things left out that are named; the rest are counted


class Batch(NamedTuple):
    """Some samples in a row, all of one split."""

    x: NDArray[Any]  # (samples, features), or (samples, channels, height, width)
    y: NDArray[Any] | None = None  # text or numbers, (samples,) or (samples, columns); None when there are no targets
    split: str = "train"  # train, validation or test


@final
class LeftOut:
    """What could not be read and was left out: how many for which reason, and the first few by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.named: list[str] = []

    @property
    def total(self) -> int:
        """How many things were left out."""
        return self.counts.total()

    def add(self, reason: str, *, names: Iterable[str] = (), count: int | None = None) -> None:
        """Count things that were left out for one reason."""
        listed = list(names)
        self.counts[reason] += len(listed) if count is None else count
        self.named.extend(listed[: _MOST_NAMED - len(self.named)])

    def take(self, other: LeftOut) -> None:
        """Count what another source left out as well."""
        self.counts.update(other.counts)
        self.named.extend(other.named[: _MOST_NAMED - len(self.named)])

    def clear(self) -> None:
        """Begin again, with a new pass over the source."""
        self.counts.clear()
        self.named.clear()

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each reason, and one with names."""
        told = [f"left out: {count} {_numbered(reason, count)}" for reason, count in self.counts.items()]
        return (*told, f"left out are {first_few(self.named)}") if self.named else tuple(told)


def _numbered(reason: str, count: int) -> str:
    """The reason, whose first word is a plural, for one thing or for several."""
    first, _, rest = reason.partition(" ")
    return reason if count != 1 else f"{first.removesuffix('s')} {rest}"


def complete_only(batch: Batch, left_out: LeftOut) -> Batch:
    """The samples without a missing or infinite value in inputs or target; the others are counted."""
    good = complete(batch.x, batch.y)
    if good.all():
        return batch
    left_out.add("samples with missing values", count=int((~good).sum()))
    return Batch(batch.x[good], None if batch.y is None else batch.y[good], batch.split)


def _no_position() -> float | None:
    return None


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """A source that is read batch by batch; iterating over it begins a new pass."""

    source: str
    open: Callable[[], Iterator[Batch]]
    kind: str = ""  # table or image; "" when the first batch is to tell
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()  # where they are known beforehand
    samples: int | None = None  # how many there are, when that is known beforehand
    position: Callable[[], float | None] = _no_position  # share of the source that was read, 0 to 1
    left_out: LeftOut = field(default_factory=LeftOut)
    notes: Callable[[], tuple[str, ...]] = tuple  # what was decided while reading, known after a pass

    def __iter__(self) -> Iterator[Batch]:
        self.left_out.clear()
        return self.open()
