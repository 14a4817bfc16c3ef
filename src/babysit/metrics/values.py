"""Summary of the values of one tensor, for predictions, targets and inputs. Synchronizes with the device."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from babysit.records.arrays import Array
from babysit.records.model_summary import TargetKind, ValueSummary

MOST_DISTINCT: Final = 1000
MOST_VALUES: Final = 100_000  # a summary of the first whole samples; enough for a share of 1e-4


def to_numpy(values: Tensor, *, most_values: int = MOST_VALUES) -> Array:
    """Copy the first whole samples to the host as a float64 array."""
    values = values.detach()
    if values.dim() and values.numel() > most_values:
        per_sample = max(1, values.numel() // values.shape[0])
        values = values[: max(1, most_values // per_sample)]
    if values.is_complex():
        values = torch.view_as_real(values)
    array: Array = values.to(device="cpu", dtype=torch.float64).numpy()
    return array


def summarize(values: Tensor) -> ValueSummary:
    """Compute range, moments, number of distinct values and whether rows sum to one."""
    array = to_numpy(values)
    finite = array[np.isfinite(array)]
    facts = {"shape": tuple(values.shape), "dtype": str(values.dtype).removeprefix("torch.")}
    if finite.size == 0:
        return ValueSummary(**facts, nonfinite=int(array.size))  # type: ignore[arg-type]  # two typed facts
    distinct = len(np.unique(finite))
    rows = array.ndim > 1 and array.shape[-1] > 1 and bool(np.allclose(array.sum(-1), 1.0, atol=1e-3))
    return ValueSummary(
        **facts,  # type: ignore[arg-type]  # two typed facts
        low=float(finite.min()),
        high=float(finite.max()),
        mean=float(finite.mean()),
        variance=float(finite.var()),
        distinct=min(distinct, MOST_DISTINCT),
        whole=bool((finite == np.round(finite)).all()),
        rows_sum_to_one=rows,
        nonfinite=int(array.size - finite.size),
    )


def target_kind(values: Tensor, summary: ValueSummary) -> TargetKind:
    """Return the kind of target that these values represent."""
    if summary.dtype.startswith(("int", "uint", "bool")) and summary.low >= 0:
        only_flags = summary.high <= 1 and values.dim() > 1 and values.shape[-1] > 1
        if not only_flags:
            return TargetKind.INDICES
    zero_one = summary.whole and summary.low >= 0 and summary.high <= 1
    if zero_one and summary.rows_sum_to_one:
        return TargetKind.ONE_HOT
    if zero_one:
        return TargetKind.ZERO_ONE
    if summary.low >= 0 and summary.high <= 1:
        return TargetKind.PROBABILITIES if summary.rows_sum_to_one else TargetKind.UNIT_RANGE
    return TargetKind.REAL
