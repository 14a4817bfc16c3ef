"""What the data are: statistics of inputs and targets per split."""

from __future__ import annotations

import msgspec

from babysit.records.arrays import Array, empty


class SplitProfile(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Statistics of one split, gathered in one pass."""

    split: str  # train, validation, test, or batch (what a watched step was fed)
    samples: int = 0
    input_shape: tuple[int, ...] = ()  # of one sample
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 0.0
    nonfinite: int = 0
    feature_mean: Array = msgspec.field(default_factory=empty)  # one value a feature (or channel)
    feature_std: Array = msgspec.field(default_factory=empty)
    constant_features: int = 0
    class_counts: tuple[int, ...] = ()
    target_mean: float = 0.0
    target_variance: float = 0.0
    duplicates: int = 0  # samples beyond the first of their kind within this split
    leaked: int = 0  # samples that are in the training split as well


class DataProfile(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The data of a run: where they came from and what each split looks like."""

    source: str = ""
    kind: str = ""  # table, image, sequence
    fingerprint: str = ""  # changes when the data change
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    splits: tuple[SplitProfile, ...] = ()
    shared: int = 0  # samples of validation or test that occur in train too
    preprocessing: str = ""  # in words: "standardized by the training split"

    def split(self, name: str) -> SplitProfile | None:
        """The profile of that split, or None."""
        return next((split for split in self.splits if split.split == name), None)
