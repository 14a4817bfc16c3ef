"""Whitening and principal components as a module, fitted in one pass over data of any size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from babysit.nn.covariance import Covariance, covariance
from babysit.records.errors import UserError

Method = Literal["pca", "zca", "rotate"]

# Directions below this share of the largest variance are rounding errors: float32 inputs have a relative precision of
# 6e-8, and the variance of that error is its square.
_SMALLEST_SHARE = 1e-12


@final
class Whiten(nn.Module):
    """Decorrelate features and, except for "rotate", scale them to variance 1.

    "pca" returns the principal components, each divided by its standard deviation: (N, …) becomes (N, k). "zca" rotates
    them back, which changes the inputs as little as possible: (N, …) stays (N, …). "rotate" is PCA without scaling.
    Create it with `Whiten.fit(training_x)`; created from a shape, it is the identity until a state is loaded.

    Args:
        shape: shape of one sample, or the number of its features.
        components: number of principal components; all when not given.
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
        """Compute the covariance of a tensor, or of batches in one pass, in float64.

        Args:
            x: a tensor, or batches of tensors, or of pairs with the input first.
            method: "pca", "zca" or "rotate".
            components: number of principal components, or, as a fraction below 1, the share of variance that they
                explain together; all when not given. Directions without variance are always dropped.
            epsilon: added to each variance, as a fraction of their mean; with 0 the covariance becomes the identity,
                larger values (1e-5 to 0.1) amplify directions of low variance, which are mostly noise, less.

        Raises:
            UserError: invalid settings, no samples, or identical samples.
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
        """Describe the preprocessing for reports."""
        share = f"{100 * float(self.get_buffer('explained')):.4g} % of the variance"
        if self.method == "zca":
            return f"whitened by the training split (ZCA), {share} retained"
        done = "principal components" if self.method == "rotate" else "whitened principal components"
        return f"{len(self.forward_map)} {done} of the training split, {share}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the whitened values: (N, k), or for "zca" the shape of x."""
        # Subtract before the product: large means would lose small differences to rounding.
        result = (x.flatten(1) - self.mean) @ self.forward_map.T
        return result.reshape(x.shape) if self.method == "zca" else result

    def inverse(self, x: Tensor) -> Tensor:
        """Return the original values, as far as the retained components allow; (N, *shape)."""
        return (x.flatten(1) @ self.inverse_map.T + self.mean).reshape(len(x), *self.shape)

    def extra_repr(self) -> str:
        """Return the settings shown in the representation."""
        return f"{self.method}, {self.forward_map.shape[1]} -> {self.forward_map.shape[0]}"


@final
class _Shaped:
    """Batches that record the shape of a sample during iteration."""

    def __init__(self, x: Tensor | Iterable[Any]) -> None:
        self._batches: Iterable[Any] = (x,) if isinstance(x, Tensor) else x
        self.shape: tuple[int, ...] = ()

    def __iter__(self) -> Any:
        for batch in self._batches:
            values = batch if isinstance(batch, Tensor) else batch[0]
            self.shape = tuple(values.shape[1:])
            yield values


def _principal(found: Covariance, components: int | float | None) -> tuple[Tensor, Tensor]:
    """Return variances, largest first, and their directions as rows; the sign of each is fixed."""
    values, vectors = torch.linalg.eigh(found.matrix)
    values, directions = values.flip(0), vectors.T.flip(0)
    usable = int((values > _SMALLEST_SHARE * values[0]).sum()) if float(values[0]) > 0 else 0
    if usable == 0:
        raise UserError(f"all {found.count} samples are the same", do="Fit on samples that differ")
    count = usable
    if isinstance(components, float) and components < 1:
        explained = values.cumsum(0) / values.sum()
        count = min(usable, int((explained < components).sum()) + 1)
    elif components is not None:
        count = min(usable, int(components))
    values, directions = values[:count], directions[:count]
    largest = directions.abs().argmax(1, keepdim=True)
    return values, directions * directions.gather(1, largest).sign()


def _refuse_settings(method: str, components: int | float | None, epsilon: float) -> None:
    if method not in {"pca", "zca", "rotate"}:
        raise UserError(f"there is no whitening {method!r:.60}", do="Give 'pca', 'zca' or 'rotate'")
    share = isinstance(components, float) and 0 < components < 1
    if components is not None and not share and (components < 1 or components != int(components)):
        raise UserError(
            f"{components} components are not possible",
            do="Give a positive integer, or the share of variance to explain, such as 0.99",
        )
    if not epsilon >= 0:
        raise UserError(f"epsilon is {epsilon}", do="Give 0 or a small positive share, such as 1e-5")
