"""Mean, variance and range of each feature in one pass over data of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor

from babysit.records.errors import UserError

_VALUES_AT_ONCE = 2**22  # values per float64 copy (32 MB)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Statistics of each feature in float64."""

    count: int  # values per feature
    mean: Tensor
    squares: Tensor  # sum of squared differences from the mean
    low: Tensor
    high: Tensor

    @property
    def variance(self) -> Tensor:
        """Return the population variance (divided by the count)."""
        return self.squares / self.count

    @property
    def constant(self) -> Tensor:
        """Mark constant features; exact, whereas a variance may be tiny by rounding."""
        return self.low == self.high


def moments(x: Tensor | Iterable[Any], *, per: Literal["channel", "pixel"] = "channel") -> Moments:
    """Compute the moments of a tensor, or of batches (tensors, or pairs with the input first), in one pass.

    per="channel" averages over everything but axis 1 (the features of a table, the channels of images) and gives the
    shape (features,) or (channels, 1, 1); per="pixel" averages over samples only and gives the shape of a sample.
    Raises UserError when there are no samples, when shapes change between batches, and for NaN or infinite values.
    """
    found: Moments | None = None
    for piece in finite_pieces(x):
        new = _of_piece(piece, per)
        if found is not None and found.mean.shape != new.mean.shape:
            raise UserError(
                f"batches of different shapes: statistics of shape {tuple(found.mean.shape)} "
                f"and {tuple(new.mean.shape)} do not match",
                do="Give batches of samples of one shape",
            )
        found = new if found is None else merged(found, new)
    if found is None:
        raise UserError("there are no samples to compute statistics of", do="Fit on at least one sample")
    return found


def merged(left: Moments, right: Moments) -> Moments:
    """Combine the moments of two sets of samples.

    Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
    """
    count = left.count + right.count
    difference = right.mean - left.mean
    return Moments(
        count=count,
        mean=left.mean + difference * (right.count / count),
        squares=left.squares + right.squares + difference**2 * (left.count * right.count / count),
        low=torch.minimum(left.low, right.low),
        high=torch.maximum(left.high, right.high),
    )


def finite_pieces(x: Tensor | Iterable[Any]) -> Iterator[Tensor]:
    """Yield the inputs in pieces of bounded size; raise UserError for NaN and infinite values."""
    for piece in _pieces(x):
        good = torch.isfinite(piece)
        if not bool(good.all()):
            raise UserError(
                f"{int((~good).sum())} of {piece.numel()} values are NaN or infinite, so statistics are undefined",
                do="Fill them in or remove these samples before fitting",
            )
        yield piece


def _pieces(x: Tensor | Iterable[Any]) -> Iterator[Tensor]:
    for batch in (x,) if isinstance(x, Tensor) else x:
        values = batch if isinstance(batch, Tensor) else batch[0]
        if values.dim() < 2:
            raise UserError(f"a batch has the shape {tuple(values.shape)}", do="Give (samples, features) or images")
        if len(values) and values[0].numel():
            yield from values.detach().split(max(1, _VALUES_AT_ONCE // values[0].numel()))


def _of_piece(piece: Tensor, per: Literal["channel", "pixel"]) -> Moments:
    values = piece.double()
    dims = (0,) if per == "pixel" else (0, *range(2, values.dim()))
    mean = values.mean(dims, keepdim=True)
    return Moments(
        count=values.numel() // mean.numel(),
        mean=mean[0],
        squares=((values - mean) ** 2).sum(dims, keepdim=True)[0],
        low=values.amin(dims, keepdim=True)[0],
        high=values.amax(dims, keepdim=True)[0],
    )
