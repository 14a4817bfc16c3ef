"""What the data are: statistics of inputs and targets per split."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from babysit.records.arrays import Array, empty
from babysit.records.secrets import WithoutSecrets


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
    target_count: int = 0  # values that these two are of, where they are a sample of the split's; 0 when they are all
    duplicates: int = 0  # samples beyond the first of their kind within this split
    leaked: int = 0  # samples that are in the training split as well
    estimated: bool = False  # duplicates and leaked are estimates: too many samples to keep a mark of each
    feature_nonfinite: Array = msgspec.field(default_factory=empty)  # NaN and infinite values of each feature
    unlabelled: int = 0  # samples whose target is missing


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A feature whose values lie differently in another split than in training."""

    split: str
    feature: str  # its name or number, or "target"
    distance: float  # between the two distributions, 0 to 1 (Kolmogorov-Smirnov, or total variation of class shares)
    p_value: float  # chance of such a distance between samples of one distribution, over all features


class ArgumentProfile(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One argument of the model: what it was called with in training and in evaluations."""

    name: str  # as in the signature of `forward`
    train: SplitProfile
    evaluation: SplitProfile


class DataProfile(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The data of a run: where they came from and what each split looks like."""

    TEXTS: ClassVar = ("source", "notes")

    source: str = ""
    kind: str = ""  # table, image, sequence
    fingerprint: str = ""  # changes when the data change
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    splits: tuple[SplitProfile, ...] = ()
    shared: int = 0  # samples of validation or test that occur in train too
    preprocessing: str = ""  # in words: "standardized by the training split"
    skipped: int = 0  # samples or files of the source that could not be read and were left out
    duplicate_features: tuple[tuple[str, ...], ...] = ()  # groups of features with the same value in every sample
    drift: tuple[Drift, ...] = ()  # largest distance first
    explained: Array = msgspec.field(default_factory=empty)  # share of variance by principal direction, standardized
    arguments: tuple[ArgumentProfile, ...] = ()  # of a watched model, where it was called in evaluations too
    notes: tuple[str, ...] = ()  # what was decided or left out while reading, one sentence each

    def split(self, name: str) -> SplitProfile | None:
        """The profile of that split, or None."""
        return next((split for split in self.splits if split.split == name), None)
