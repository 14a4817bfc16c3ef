"""Mean and covariance of all features in one pass over data of any size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from babysit.nn.moments import finite_pieces
from babysit.records.errors import UserError

# The covariance of this many features takes 2 GB in float64, and its decomposition minutes.
_MOST_FEATURES = 16_384


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Covariance:
    """Covariance statistics in float64; d is the number of values per sample."""

    count: int  # samples
    mean: Tensor  # (d,)
    products: Tensor  # (d, d): sums of products of differences from the means

    @property
    def matrix(self) -> Tensor:
        """Return the population covariance (divided by the count)."""
        return self.products / self.count


def covariance(x: Tensor | Iterable[Any]) -> Covariance:
    """Compute the covariance of a tensor, or of batches (tensors, or pairs with the input first), in one pass.

    Samples of any shape are flattened. Raises UserError as `moments` does, and for samples with too many values for a
    covariance matrix.
    """
    found: Covariance | None = None
    for piece in finite_pieces(x):
        if piece[0].numel() > _MOST_FEATURES:
            raise UserError(
                f"a covariance of {piece[0].numel()} features would need {piece[0].numel() ** 2 * 8 / 1e9:.0f} GB",
                do="Center or standardize such data instead",
            )
        new = _of_rows(piece.flatten(1).double())
        if found is not None and found.mean.shape != new.mean.shape:
            raise UserError(f"batches of different shapes: {len(found.mean)} and {len(new.mean)} values per sample")
        found = new if found is None else _merged(found, new)
    if found is None:
        raise UserError("there are no samples to compute statistics of", do="Fit on at least one sample")
    return found


def _of_rows(rows: Tensor) -> Covariance:
    mean = rows.mean(0)
    away = rows - mean
    return Covariance(count=len(rows), mean=mean, products=away.T @ away)


def _merged(left: Covariance, right: Covariance) -> Covariance:
    """Combine the covariance of two sets of samples (Chan, Golub and LeVeque 1979, for products)."""
    count = left.count + right.count
    difference = right.mean - left.mean
    between = torch.outer(difference, difference) * (left.count * right.count / count)
    return Covariance(
        count=count,
        mean=left.mean + difference * (right.count / count),
        products=left.products + right.products + between,
    )
