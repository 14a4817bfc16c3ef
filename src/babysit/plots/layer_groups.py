"""Grouping of many layers into few rows: neighbors with a common module prefix share a row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from babysit.plots.names import distinct, short

# Rows of a heatmap that stay readable on one screen: 60 rows of 9 pixels.
ROWS = 60


class LayerGroups(NamedTuple):
    """Layers drawn as one row."""

    label: str
    indices: tuple[int, ...]


def group_layers(names: Sequence[str], limit: int = ROWS) -> tuple[LayerGroups, ...]:
    """Return at most `limit` rows in the order of the layers: one per layer, per module, or per run of neighbors."""
    if len(names) <= limit:
        return tuple(LayerGroups(label, (index,)) for index, label in enumerate(distinct(names)))
    deepest = max(name.count(".") for name in names) + 1
    coarse: list[LayerGroups] = []
    for depth in range(1, deepest + 1):
        fine = _by_prefix(names, depth)
        if len(fine) > limit:
            # A prefix with fewer than a quarter of the rows is too coarse: split evenly instead.
            return tuple(coarse if len(coarse) >= limit // 4 else _evenly(fine, limit))
        coarse = fine
    return tuple(coarse)


def _by_prefix(names: Sequence[str], depth: int) -> list[LayerGroups]:
    def prefix(index: int) -> str:
        return ".".join(names[index].split(".")[:depth])

    groups = [(key, tuple(indices)) for key, indices in groupby(range(len(names)), prefix)]
    return [
        LayerGroups(short(names[indices[0]]) if len(indices) == 1 else f"{short(key)} ({len(indices)} layers)", indices)
        for key, indices in groups
    ]


def _evenly(folds: Sequence[LayerGroups], limit: int) -> list[LayerGroups]:
    size = -(-len(folds) // limit)
    chunks = [folds[start : start + size] for start in range(0, len(folds), size)]
    return [
        LayerGroups(
            f"{short(chunk[0].label, 18)} … {short(chunk[-1].label, 18)}",
            tuple(index for part in chunk for index in part.indices),
        )
        for chunk in chunks
    ]
