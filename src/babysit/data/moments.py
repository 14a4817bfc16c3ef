"""Count, mean, variance and range of each feature, in one pass over pieces of any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Statistics of each feature (or image channel); all arrays have one value per feature."""

    count: NDArray[np.int64]  # finite values
    missing: NDArray[np.int64]  # NaN and infinite values, excluded from the rest
    mean: Floats
    squares: Floats  # sum of squared differences from the mean
    low: Floats  # +inf without finite values
    high: Floats

    @property
    def variance(self) -> Floats:
        """Return the population variance (divided by the count); 0 without values."""
        return self.squares / np.maximum(self.count, 1)

    @property
    def std(self) -> Floats:
        """Return the square root of the variance."""
        return np.sqrt(self.variance)

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Mark constant features; exact, whereas a variance may be tiny by rounding."""
        return self.low >= self.high

    @property
    def overall(self) -> tuple[float, float]:
        """Return mean and standard deviation over all values of all features."""
        total = max(1, int(self.count.sum()))
        mean = float((self.count * self.mean).sum() / total)
        square = float((self.squares + self.count * (self.mean - mean) ** 2).sum())
        return mean, (square / total) ** 0.5


def moments(x: NDArray[Any]) -> Moments:
    """Compute the moments of one piece of shape (samples, features, …) over every axis but 1."""
    values = _by_feature(x)
    mean = _means(values)
    if mean is None:
        return _with_gaps(values)
    low, high = values.min(axis=1), values.max(axis=1)
    values -= mean[:, None]
    return _complete(values.shape[1], mean, np.einsum("fp,fp->f", values, values), (low, high))


def moments_and_cross_products(x: NDArray[Any]) -> tuple[Moments, CrossProducts]:
    """Compute moments and cross products of one piece of shape (samples, features) at little extra cost."""
    values = _by_feature(x)
    mean = _means(values)
    if mean is None:
        return _with_gaps(values), _cross_products(values[:, np.isfinite(values).all(axis=0)])
    low, high = values.min(axis=1), values.max(axis=1)
    together = _cross_products(values)
    return _complete(values.shape[1], mean, np.diag(together.products).copy(), (low, high)), together


def _by_feature(x: NDArray[Any]) -> Floats:
    """Copy to one row per feature: sums along memory are many times faster than across it, and pairwise."""
    return np.array(np.moveaxis(x, 1, 0).reshape(x.shape[1], -1), dtype=np.float64, order="C")


def _means(values: Floats) -> Floats | None:
    """Return the mean of each row; None when a value is missing."""
    totals: Floats = values.sum(axis=1)
    return totals / max(1, values.shape[1]) if np.isfinite(totals).all() else None


def _complete(count: int, mean: Floats, squares: Floats, ends: tuple[Floats, Floats]) -> Moments:
    return Moments(
        count=np.full(len(mean), count),
        missing=np.zeros(len(mean), dtype=np.int64),
        mean=mean,
        squares=squares,
        low=ends[0],
        high=ends[1],
    )


def _with_gaps(values: Floats) -> Moments:
    good = np.isfinite(values)
    count = good.sum(axis=1)
    mean = np.where(good, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    away = np.where(good, values - mean[:, None], 0.0)
    return Moments(
        count=count,
        missing=values.shape[1] - count,
        mean=mean,
        squares=np.einsum("fp,fp->f", away, away),
        low=np.where(good, values, np.inf).min(axis=1),
        high=np.where(good, values, -np.inf).max(axis=1),
    )


def merged(left: Moments | None, right: Moments) -> Moments:
    """Combine the moments of two sets of samples.

    Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
    """
    if left is None:
        return right
    count = left.count + right.count
    share = right.count / np.maximum(count, 1)
    difference = right.mean - left.mean
    return Moments(
        count=count,
        missing=left.missing + right.missing,
        mean=left.mean + difference * share,
        squares=left.squares + right.squares + difference**2 * left.count * share,
        low=np.minimum(left.low, right.low),
        high=np.maximum(left.high, right.high),
    )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class CrossProducts:
    """Cross products of the features over complete samples."""

    count: int
    mean: Floats
    products: Floats  # (features, features): sums of products of differences from the means

    @property
    def explained(self) -> Floats:
        """Return the share of variance along each principal direction of the standardized features, largest first."""
        scale = np.sqrt(np.diag(self.products))
        changing = scale > 0
        if not changing.any():
            return np.zeros(0)
        correlation = self.products[np.ix_(changing, changing)] / np.outer(scale[changing], scale[changing])
        values = np.clip(np.linalg.eigvalsh(correlation)[::-1], 0, None)
        shares: Floats = values / values.sum()
        return shares


def cross_products(x: NDArray[Any]) -> CrossProducts:
    """Compute the cross products of one piece of shape (samples, features) without samples with missing values."""
    values = _by_feature(x)
    if _means(values) is None:
        values = values[:, np.isfinite(values).all(axis=0)]
    return _cross_products(values)


def _cross_products(values: Floats) -> CrossProducts:
    """Compute the cross products of complete samples, one row per feature; overwrites the values."""
    count = values.shape[1]
    mean = values.sum(axis=1) / max(1, count)
    values -= mean[:, None]
    return CrossProducts(count=count, mean=mean, products=values @ values.T)


def merged_cross_products(left: CrossProducts | None, right: CrossProducts) -> CrossProducts:
    """Combine the cross products of two sets of samples, as in `merged`."""
    if left is None:
        return right
    count = left.count + right.count
    share = right.count / max(count, 1)
    difference = right.mean - left.mean
    between = np.outer(difference, difference) * (left.count * share)
    return CrossProducts(
        count=count, mean=left.mean + difference * share, products=left.products + right.products + between
    )
