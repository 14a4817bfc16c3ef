"""Scalars by step: losses, metrics, learning rate, gradient norm."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from babysit.records.arrays import Array, empty

# Canonical names. "train/loss" is the data loss of each optimizer step; a second objective (of a GAN, say) is
# "train/loss/1". Steps count optimizer steps from 0; validation values have the step after which they were measured.
TRAIN_LOSS: Final = "train/loss"
VAL_LOSS: Final = "val/loss"
TRAIN_ACCURACY: Final = "train/accuracy"
VAL_ACCURACY: Final = "val/accuracy"
LEARNING_RATE: Final = "lr"
GRADIENT_NORM: Final = "gradient_norm"


# Splits and metrics by the names that users and host libraries give them.
_SPLITS: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_METRICS: Final = {"loss": "loss", "accuracy": "accuracy", "acc": "accuracy"}
_ANY_SPLIT: Final = "|".join(_SPLITS)
_SPLIT_FIRST: Final = re.compile(rf"(?P<split>{_ANY_SPLIT})[_/](?P<metric>.+)", re.IGNORECASE)
_SPLIT_LAST: Final = re.compile(rf"(?P<metric>.+)[_/](?P<split>{_ANY_SPLIT})", re.IGNORECASE)


def canonical_name(name: str) -> str:
    """Return the name under which a logged curve is kept: "val/loss" for val_loss, loss/validation and eval/loss.

    A name without a split before or behind it stays as it is, and so does one of the training split: the measured loss
    of each step is "train/loss", and what a program logs is often a mean of it.
    """
    match = _SPLIT_FIRST.fullmatch(name) or _SPLIT_LAST.fullmatch(name)
    split = _SPLITS[match["split"].lower()] if match else "train"
    if match is None or split == "train":
        return name
    metric = match["metric"]
    return f"{split}/{_METRICS.get(metric.lower(), metric)}"


def curve_name(split: str, metric: str) -> str:
    """Return the name of a metric's curve on a split: "val/loss" for validation (or val) and loss."""
    return f"{_SPLITS.get(split, split)}/{metric}"


def split_of(name: str) -> str:
    """Return train, val or test for a curve or result of that split, and "" for all others."""
    split, found, _ = name.partition("/")
    return split if found and split in ("train", "val", "test") else ""


def metric_of(name: str) -> str:
    """Return the metric of a curve or result without its split and number: "loss" for "train/loss/1"."""
    return name.split("/")[1] if split_of(name) else name.split("/", maxsplit=1)[0]


class Series(msgspec.Struct, frozen=True, eq=False):
    """One curve: `values[i]` was recorded after step `steps[i]`."""

    steps: Array = msgspec.field(default_factory=lambda: empty("int64"))
    values: Array = msgspec.field(default_factory=empty)

    def __len__(self) -> int:
        return len(self.steps)


class Curves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All curves of a run by name."""

    series: dict[str, Series] = {}

    def get(self, name: str) -> Series:
        """Return a curve by name; an empty one if it was never recorded."""
        return self.series.get(name, Series())
