"""Streams: samples in batches from sources of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

from numpy.typing import NDArray

from babysit.data.arrays import complete, first_few

_MOST_NAMED = 20  # skipped items that are named; the rest are counted


class Batch(NamedTuple):
    """Consecutive samples of one split."""

    x: NDArray[Any]  # (samples, features), or (samples, channels, height, width)
    y: NDArray[Any] | None = None  # text or numbers, (samples,) or (samples, columns); None without targets
    split: str = "train"  # train, validation or test


@final
class LeftOut:
    """Skipped items: counts by reason, and the first few by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.named: list[str] = []

    @property
    def total(self) -> int:
        """Return the number of skipped items."""
        return self.counts.total()

    def add(self, reason: str, *, names: Iterable[str] = (), count: int | None = None) -> None:
        """Count items skipped for one reason."""
        listed = list(names)
        self.counts[reason] += len(listed) if count is None else count
        self.named.extend(listed[: _MOST_NAMED - len(self.named)])

    def take(self, other: LeftOut) -> None:
        """Add the skipped items of another source."""
        self.counts.update(other.counts)
        self.named.extend(other.named[: _MOST_NAMED - len(self.named)])

    def clear(self) -> None:
        """Reset for a new pass over the source."""
        self.counts.clear()
        self.named.clear()

    @property
    def notes(self) -> tuple[str, ...]:
        """Return one sentence for each reason, and one with names."""
        notes = [f"left out: {count} {_numbered(reason, count)}" for reason, count in self.counts.items()]
        return (*notes, f"left out are {first_few(self.named)}") if self.named else tuple(notes)


def _numbered(reason: str, count: int) -> str:
    """Return the reason, which begins with a plural, in singular or plural."""
    first, _, rest = reason.partition(" ")
    return reason if count != 1 else f"{first.removesuffix('s')} {rest}"


def complete_only(batch: Batch, left_out: LeftOut) -> Batch:
    """Return the samples without missing or infinite values in inputs or target; count the others."""
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
    """A source read batch by batch; each iteration is a new pass."""

    source: str
    open: Callable[[], Iterator[Batch]]
    kind: str = ""  # table or image; "" when determined by the first batch
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()  # if known in advance
    samples: int | None = None  # number of samples, if known in advance
    position: Callable[[], float | None] = _no_position  # fraction of the source that was read, 0 to 1
    left_out: LeftOut = field(default_factory=LeftOut)
    notes: Callable[[], tuple[str, ...]] = tuple  # decisions while reading, complete after a pass

    def __iter__(self) -> Iterator[Batch]:
        self.left_out.clear()
        return self.open()
