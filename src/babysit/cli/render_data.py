"""What data are, as one box: each split, its classes, and whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from babysit.records.dataprofile import DataProfile, SplitProfile

_MOST_NAMED: Final = 5  # features named in one line; the rest are counted
_MOST_OF_IT: Final = 0.95  # share of variance that counts as nearly all of it


def data_box(data: DataProfile) -> RenderableType:
    """A table with one line a split, and one sentence for whatever else is worth knowing."""
    table = Table("split", "samples", "mean", "deviation", "from", "to", box=None, pad_edge=False)
    counted = {
        "missing": [split.nonfinite for split in data.splits],
        "constant": [split.constant_features for split in data.splits],
        "duplicates": [split.duplicates for split in data.splits],
        "in train too": [split.leaked for split in data.splits],
    }
    told = {title: counts for title, counts in counted.items() if any(counts)}
    for title in told:
        table.add_column(title)
    for place, split in enumerate(data.splits):
        numbers = (split.mean, split.std, split.low, split.high)
        about = "about " if split.estimated else ""
        rest = [
            f"{about if title in ('duplicates', 'in train too') else ''}{counts[place]:,}"
            for title, counts in told.items()
        ]
        table.add_row(split.split, f"{split.samples:,}", *(f"{value:.4g}" for value in numbers), *rest)
    lines = [Text(line) for line in (_shape(data), *_sentences(data))]
    return Panel(Group(lines[0], table, *lines[1:]), title="Data", title_align="left", expand=False)


def _shape(data: DataProfile) -> str:
    shape = data.splits[0].input_shape
    what = (
        f"{shape[0]} feature{'s' * (shape[0] > 1)}"
        if len(shape) == 1
        else f"images of {' x '.join(map(str, shape))} values"
    )
    count = len(data.class_names)
    target = f"{count} class{'es' * (count > 1)}" if count else "no classes"
    return f"{data.source}: {what}, {target}"


def _sentences(data: DataProfile) -> Iterator[str]:
    for split in data.splits:
        yield from _classes(split, data.class_names)
        if split.unlabelled:
            yield f"{split.split}: {split.unlabelled:,} samples have no target"
        missing = np.flatnonzero(split.feature_nonfinite)
        if len(missing):
            worst = missing[np.argsort(-split.feature_nonfinite[missing], kind="stable")]
            named = [f"{_name(data, int(place))} {int(split.feature_nonfinite[place]):,}" for place in worst]
            yield f"{split.split}: missing or infinite values in {_few(named)}"
    constant = data.splits[0].constant_features
    if constant:
        still = np.flatnonzero(data.splits[0].feature_std == 0)
        yield f"{constant} constant: {_few([_name(data, int(place)) for place in still])}"
    for group in data.duplicate_features[:_MOST_NAMED]:
        yield f"always equal: {_few(list(group))}"
    for drift in data.drift[:_MOST_NAMED]:
        kind = "class shares differ" if drift.feature == "target" else "lies differently"
        yield f"{drift.split}: {drift.feature} {kind} than in training (distance {drift.distance:.2f} of 1)"
    if len(data.explained) > 2:
        enough = int((np.cumsum(data.explained) < _MOST_OF_IT).sum()) + 1
        yield f"{enough} of {len(data.explained)} principal directions hold {_MOST_OF_IT:.0%} of the variance"
    yield from data.notes


def _classes(split: SplitProfile, names: tuple[str, ...]) -> Iterator[str]:
    counts = split.class_counts
    if not counts:
        return
    if len(counts) == 1:
        yield f"{split.split}: all {counts[0]:,} samples are of one class ({names[0]}): there is nothing to tell apart"
        return
    low, high = int(np.argmin(counts)), int(np.argmax(counts))
    if counts[low] == counts[high]:
        yield f"{split.split}: {counts[low]:,} samples of each class"
    else:
        yield f"{split.split}: from {counts[low]:,} ({names[low]}) to {counts[high]:,} ({names[high]}) samples a class"


def _name(data: DataProfile, place: int) -> str:
    if place < len(data.feature_names):
        return data.feature_names[place]
    return f"{'feature' if len(data.splits[0].input_shape) == 1 else 'channel'} {place}"


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + rest
