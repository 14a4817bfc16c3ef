"""Statistics of weights, gradients and updates, over many tensors at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

# Two units are equal when their projections agree to this fraction of the layer's scale. A float32 projection of equal
# rows differs by a few 1e-7 with the order of summation; among 1,000 different units, about one pair per layer comes
# this close by chance, a share of 0.2 %.
SAME_UNIT: Final = 1e-6


def norms(tensors: Sequence[Tensor], order: float = 2) -> list[Tensor]:
    """Return the norm of each tensor (order 0 counts non-zeros), in one call per device and dtype."""
    return list(torch._foreach_norm([tensor.detach() for tensor in tensors], order)) if tensors else []


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy each tensor's values."""
    return [tensor.detach().clone() for tensor in tensors]


def update_norms(before: list[Tensor], after: Sequence[Tensor]) -> list[Tensor]:
    """Return the norm of each update; overwrites `before`, so that one copy of the parameters is sufficient."""
    if not before:
        return []
    torch._foreach_sub_(before, [tensor.detach() for tensor in after])
    return norms(before)


def one_signed(gradient: Tensor, unit_axis: int) -> Tensor:
    """Return the share of units whose weight gradients all have one sign; units with zero gradients do not count."""
    others = tuple(index for index in range(gradient.dim()) if index != unit_axis)
    lowest, highest = gradient.detach().amin(others), gradient.detach().amax(others)
    signed = ((lowest >= 0) & (highest > 0)) | ((highest <= 0) & (lowest < 0))
    return signed.float().mean()


def unit_similarity(weight: Tensor, bias: Tensor | None, unit_axis: int) -> Tensor:
    """Return the share of units whose incoming weights and bias equal another unit's.

    Each unit is projected on one fixed direction, so that equal units are adjacent when sorted: O(units log units), no
    random numbers.
    """
    rows = weight.detach().float().movedim(unit_axis, 0).flatten(1)
    units, inputs = rows.shape
    if units < 2:
        return torch.zeros((), device=rows.device)
    direction = torch.cos(torch.arange(1, inputs + 1, device=rows.device, dtype=torch.float32) * 1.618)
    projection = rows @ direction
    if bias is not None and bias.numel() == units:
        projection = projection + bias.detach().float() * 2.718
    ordered = projection.sort().values
    scale = ordered.abs().amax()
    same = (ordered[1:] - ordered[:-1]) <= SAME_UNIT * scale
    # A unit is unique only when neither neighbor equals it.
    edge = torch.zeros(1, dtype=torch.bool, device=rows.device)
    return (torch.cat([same, edge]) | torch.cat([edge, same])).float().mean()
