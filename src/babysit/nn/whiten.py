"""Whitening and principal components as a module, fitted in one pass over data of any size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from babysit.nn.covariance import Covariance, covariance
from babysit.records.errors import UserError

Method = Literal["pca", "zca", "rotate"]

# Directions with less than this share of the largest variance hold nothing but rounding: float32 inputs are exact to
# 6e-8 of their size, and the variance of that error is the square of it.
_SMALLEST_SHARE = 1e-12


@final
class Whiten(nn.Module):
    """Turn features into ones that are uncorrelated and, but for "rotate", have variance 1.

    "pca" gives the principal components, each divided by its standard deviation: (N, …) becomes (N, k). "zca" turns
    them back, which changes the inputs as little as possible: (N, …) stays (N, …). "rotate" is PCA alone, undivided.
    Make it with `Whiten.fit(training_x)`; one that is made from a shape changes nothing until a saved state is loaded.

    Args:
        shape: shape of one sample, or the number of its features.
        components: how many principal components there are; all when not given.
        method: see above.
    """

    mean: Tensor
    forward_map: Tensor
    inverse_map: Tensor

    def __init__(self, shape: int | tuple[int, ...], *, components: int | None = None, method: Method = "pca") -> None:
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.method = method
        features = torch.Size(self.shape).numel()
        outputs = features if method == "zca" or components is None else components
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("forward_map", torch.eye(outputs, features))
        self.register_buffer("inverse_map", torch.eye(features, outputs))
        self.register_buffer("explained", torch.ones(()))

    @classmethod
    def fit(
        cls,
        x: Tensor | Iterable[Any],
        *,
        method: Method = "pca",
        components: int | float | None = None,
        epsilon: float = 0.0,
    ) -> Whiten:
        """Take the covariance of a tensor, or of batches in one pass, in float64.

        Args:
            x: a tensor, or batches of them, or of pairs whose first part is the input.
            method: "pca", "zca" or "rotate".
            components: how many principal components are kept, or, as a fraction below 1, the share of variance that
                they must explain together; all when not given. Directions without variance are never kept.
            epsilon: added to each variance, as a share of their mean; with 0 the covariance becomes the identity, with
                more (1e-5 to 0.1), directions of little variance, which are mostly noise, are not blown up as much.

        Raises:
            UserError: unusable settings, no samples, or none that differ.
        """
        _refuse_settings(method, components, epsilon)
        batches = _Shaped(x)
        found = covariance(batches)
        values, directions = _principal(found, components)
        scale = torch.ones_like(values)
        if method != "rotate":
            total = torch.trace(found.matrix)
            scale = (values + epsilon * total / len(found.mean)).rsqrt()
        forward_map, inverse_map = scale[:, None] * directions, directions.T / scale
        if method == "zca":
            forward_map, inverse_map = directions.T @ forward_map, inverse_map @ directions
        module = cls(batches.shape, components=len(values), method=method)
        module.mean.copy_(found.mean)
        module.forward_map.copy_(forward_map)
        module.inverse_map.copy_(inverse_map)
        module.get_buffer("explained").copy_(values.sum() / torch.trace(found.matrix))
        return module

    @property
    def words(self) -> str:
        """What it does, as reports say it."""
        share = f"{100 * float(self.get_buffer('explained')):.4g} % of the variance"
        if self.method == "zca":
            return f"whitened by the training split (ZCA), {share} kept"
        done = "principal components" if self.method == "rotate" else "whitened principal components"
        return f"{len(self.forward_map)} {done} of the training split, {share}"

    def forward(self, x: Tensor) -> Tensor:
        """The whitened values: (N, k), or for "zca" the shape of x."""
        # Subtracted before the product: large means would drown small differences in rounding.
        result = (x.flatten(1) - self.mean) @ self.forward_map.T
        return result.reshape(x.shape) if self.method == "zca" else result

    def inverse(self, x: Tensor) -> Tensor:
        """The values as they were before, as far as the components that were kept hold them; (N, *shape)."""
        return (x.flatten(1) @ self.inverse_map.T + self.mean).reshape(len(x), *self.shape)

    def extra_repr(self) -> str:
        """What is shown between the brackets."""
        return f"{self.method}, {self.forward_map.shape[1]} -> {self.forward_map.shape[0]}"


@final
class _Shaped:
    """Batches that remember the shape of a sample as they pass by."""

    def __init__(self, x: Tensor | Iterable[Any]) -> None:
        self._batches: Iterable[Any] = (x,) if isinstance(x, Tensor) else x
        self.shape: tuple[int, ...] = ()

    def __iter__(self) -> Any:
        for batch in self._batches:
            values = batch if isinstance(batch, Tensor) else batch[0]
            self.shape = tuple(values.shape[1:])
            yield values


def _principal(found: Covariance, components: int | float | None) -> tuple[Tensor, Tensor]:
    """Variances, largest first, and the directions they lie in, as rows; the sign of each is made the same always."""
    values, vectors = torch.linalg.eigh(found.matrix)
    values, directions = values.flip(0), vectors.T.flip(0)
    usable = int((values > _SMALLEST_SHARE * values[0]).sum()) if float(values[0]) > 0 else 0
    if usable == 0:
        raise UserError(f"all {found.count} samples are the same", do="Fit on samples that differ")
    kept = usable
    if isinstance(components, float) and components < 1:
        explained = values.cumsum(0) / values.sum()
        kept = min(usable, int((explained < components).sum()) + 1)
    elif components is not None:
        kept = min(usable, int(components))
    values, directions = values[:kept], directions[:kept]
    largest = directions.abs().argmax(1, keepdim=True)
    return values, directions * directions.gather(1, largest).sign()


def _refuse_settings(method: str, components: int | float | None, epsilon: float) -> None:
    if method not in {"pca", "zca", "rotate"}:
        raise UserError(f"there is no whitening {method!r:.60}", do="Give 'pca', 'zca' or 'rotate'")
    share = isinstance(components, float) and 0 < components < 1
    if components is not None and not share and (components < 1 or components != int(components)):
        raise UserError(
            f"{components} components cannot be kept",
            do="Give a whole number from 1 on, or the share of variance to explain, such as 0.99",
        )
    if not epsilon >= 0:
        raise UserError(f"epsilon is {epsilon}", do="Give 0 or a small positive share, such as 1e-5")
