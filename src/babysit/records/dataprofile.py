"""Data profile: statistics of inputs and targets per split."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from babysit.records.arrays import Array, empty
from babysit.records.secrets import WithoutSecrets


class SplitProfile(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Statistics of one split, computed in one pass."""

    split: str  # train, validation, test, or batch (the input of a watched step)
    samples: int = 0
    input_shape: tuple[int, ...] = ()  # of one sample
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 0.0
    nonfinite: int = 0
    feature_mean: Array = msgspec.field(default_factory=empty)  # one value per feature (or channel)
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
    """A feature with another distribution in a split than in training."""

    split: str
    feature: str  # its name or number, or "target"
    distance: float  # between the two distributions, 0 to 1 (Kolmogorov-Smirnov, or total variation of classes)
    p_value: float  # probability of such a distance under one distribution, corrected for all features


class ArgumentProfile(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Statistics of one argument of the model in training and in evaluations."""

    name: str  # as in the signature of `forward`
    train: SplitProfile
    evaluation: SplitProfile


class DataProfile(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The data of a run: where they came from and what each split looks like."""

    TEXTS: ClassVar = ("source", "notes")

    source: str = ""
    kind: str = ""  # table, image, sequence
    fingerprint: str = ""  # a hash of the data
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    splits: tuple[SplitProfile, ...] = ()
    shared: int = 0  # samples of validation or test that occur in train too
    preprocessing: str = ""  # in words: "standardized by the training split"
    skipped: int = 0  # samples or files of the source that could not be read and were left out
    duplicate_features: tuple[tuple[str, ...], ...] = ()  # groups of features with the same value in every sample
    drift: tuple[Drift, ...] = ()  # largest distance first
    explained: Array = msgspec.field(default_factory=empty)  # fraction of variance by principal component, standardized
    arguments: tuple[ArgumentProfile, ...] = ()  # of a watched model that was also called in evaluations
    notes: tuple[str, ...] = ()  # decisions and omissions while reading, one sentence each

    def split(self, name: str) -> SplitProfile | None:
        """Return the profile of a split, or None."""
        return next((split for split in self.splits if split.split == name), None)
