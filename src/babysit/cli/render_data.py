"""Terminal output of a data profile: splits, classes and problems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from babysit.records.dataprofile import DataProfile, SplitProfile

_MOST_NAMED: Final = 5  # features listed by name; the rest is counted
_MOST_VARIANCE: Final = 0.95  # fraction of variance to explain by principal components; a usual choice in PCA


def data_box(data: DataProfile) -> RenderableType:
    """Return a table with one row per split, and one sentence per further observation."""
    table = Table("split", "samples", "mean", "std", "min", "max", box=None, pad_edge=False)
    counted = {
        "missing": [split.nonfinite for split in data.splits],
        "constant": [split.constant_features for split in data.splits],
        "duplicates": [split.duplicates for split in data.splits],
        "also in train": [split.leaked for split in data.splits],
    }
    shown = {title: counts for title, counts in counted.items() if any(counts)}
    for title in shown:
        table.add_column(title)
    for index, split in enumerate(data.splits):
        numbers = (split.mean, split.std, split.low, split.high)
        about = "about " if split.estimated else ""
        rest = [
            f"{about if title in ('duplicates', 'also in train') else ''}{counts[index]:,}"
            for title, counts in shown.items()
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
            named = [f"{_name(data, int(index))} {int(split.feature_nonfinite[index]):,}" for index in worst]
            yield f"{split.split}: missing or infinite values in {_few(named)}"
    constant = data.splits[0].constant_features
    if constant:
        constants = np.flatnonzero(data.splits[0].feature_std == 0)
        yield f"{constant} constant: {_few([_name(data, int(index)) for index in constants])}"
    for group in data.duplicate_features[:_MOST_NAMED]:
        yield f"always equal: {_few(list(group))}"
    for drift in data.drift[:_MOST_NAMED]:
        kind = "class frequencies differ" if drift.feature == "target" else "distribution differs"
        yield f"{drift.split}: {drift.feature}: {kind} from training (distance {drift.distance:.2f} of 1)"
    if len(data.explained) > 2:
        enough = int((np.cumsum(data.explained) < _MOST_VARIANCE).sum()) + 1
        yield f"{enough} of {len(data.explained)} principal components explain {_MOST_VARIANCE:.0%} of the variance"
    yield from data.notes


def _classes(split: SplitProfile, names: tuple[str, ...]) -> Iterator[str]:
    counts = split.class_counts
    if not counts:
        return
    if len(counts) == 1:
        yield f"{split.split}: all {counts[0]:,} samples have the same class ({names[0]}): there is nothing to learn"
        return
    low, high = int(np.argmin(counts)), int(np.argmax(counts))
    if counts[low] == counts[high]:
        yield f"{split.split}: {counts[low]:,} samples per class"
    else:
        yield f"{split.split}: {counts[low]:,} ({names[low]}) to {counts[high]:,} ({names[high]}) samples per class"


def _name(data: DataProfile, index: int) -> str:
    if index < len(data.feature_names):
        return data.feature_names[index]
    return f"{'feature' if len(data.splits[0].input_shape) == 1 else 'channel'} {index}"


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + rest
