"""Statistics of the inputs of the first training steps and evaluations, of bounded size and on the host.

Batches are recorded at the input of the first layer. Training and evaluation are compared at the arguments of the
model's call, so preprocessing inside `forward` does not count as a difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from babysit.metrics.values import to_numpy
from babysit.monitor.parameter_registry import unwrapped
from babysit.monitor.running_moments import RunningMoments
from babysit.records.arrays import Array
from babysit.records.dataprofile import ArgumentProfile, DataProfile, SplitProfile

MOST_VALUES: Final = 1_000_000
MOST_STEPS: Final = 20
MOST_ROWS: Final = 100_000  # per argument; more rows do not change its mean noticeably
# A pass counts as one over training data if at least this share of its rows was among the recorded training rows
# (only part of an epoch); rows shared by chance or leaked are far fewer.
SEEN_BEFORE: Final = 0.2

Named = Sequence[tuple[str, Tensor]]
Argument = tuple[int, str, str]  # id of the module, its class, and the argument name


@final
class BatchStats:
    """Collects the inputs of the first sampled steps and evaluations, and recognizes training rows."""

    def __init__(self) -> None:
        self._trained: list[Array] = []
        self._trained_modules: set[int] = set()
        self._arguments: dict[str, dict[Argument, RunningMoments]] = {"train": {}, "evaluation": {}}
        self._rows: set[bytes] = set()
        self._steps = 0
        self._nonfinite = 0  # non-finite values of batches that were not recorded
        self.batch_size = 0

    def add(self, inputs: Tensor) -> None:
        """Record the input of the first layer in one training step."""
        if inputs.dim():
            self.batch_size = self.batch_size or inputs.shape[0]
        if self._steps >= MOST_STEPS or inputs.dim() < 2 or not inputs.is_floating_point():
            return
        self._steps += 1
        _keep(self._trained, to_numpy(inputs), MOST_VALUES)

    def count_nonfinite(self, inputs: Tensor) -> None:
        """Count the non-finite values of a later batch; only on the CPU, to avoid a device synchronization."""
        if inputs.is_cpu and inputs.is_floating_point() and not math.isfinite(float(inputs.detach().sum())):
            self._nonfinite += int((~inputs.isfinite()).sum())

    def add_arguments(self, module: nn.Module, given: Named) -> None:
        """Record the arguments of the model's call in one training step."""
        tensors = _measurable(given)
        if tensors:
            self._rows.update(_fingerprints(to_numpy(_widest(tensors))))
        self._gather("train", module, tensors)

    def add_evaluated(self, module: nn.Module, given: Named) -> bool:
        """Record the arguments of the model's call in an evaluation; return True if they are training rows."""
        tensors = _measurable(given)
        seen = bool(tensors) and self.share_seen(_widest(tensors)) >= SEEN_BEFORE
        if not seen:
            self._gather("evaluation", module, tensors)
        return seen

    def _gather(self, split: str, module: nn.Module, tensors: Named) -> None:
        inner = unwrapped(module)
        if split == "train":
            self._trained_modules.add(id(inner))
        for name, tensor in tensors:
            moments = self._arguments[split].setdefault((id(inner), type(inner).__name__, name), RunningMoments())
            if moments.samples < MOST_ROWS:
                moments.add(tensor)

    def _compared(self) -> tuple[ArgumentProfile, ...]:
        """Return the arguments seen in both training and evaluation of the same module.

        A module that is never trained (averaged weights, for example) counts as a copy of the only module of its type.
        """
        found = []
        for (number, kind, name), evaluated in self._arguments["evaluation"].items():
            alike = [key for key in self._arguments["train"] if key[1:] == (kind, name)]
            copied = alike if len(alike) == 1 and number not in self._trained_modules else []
            own = [key for key in alike if key[0] == number] or copied
            trained = self._arguments["train"][own[0]] if own else None
            if trained is not None and not trained.blank and not (trained.flags and evaluated.flags):
                both = trained.profile("train"), evaluated.profile("evaluation")
                found.append(ArgumentProfile(name=name, train=both[0], evaluation=both[1]))
        return tuple(found)

    def share_seen(self, inputs: Tensor) -> float:
        """Return the share of rows of a batch that are among the recorded training rows."""
        rows = to_numpy(inputs)
        marks = _fingerprints(rows)
        return sum(mark in self._rows for mark in marks) / len(marks) if marks else 0.0

    def profile(self, class_counts: tuple[int, ...], targets: RunningMoments) -> DataProfile | None:
        """Return the profile of the recorded data, as the split `batch` and by argument; None if there is none."""
        if not self._trained:
            return None
        batch = msgspec.structs.replace(
            kept := _split("batch", self._trained),
            nonfinite=kept.nonfinite + self._nonfinite,
            class_counts=class_counts,
            target_mean=targets.mean,
            target_variance=targets.variance,
            target_count=targets.count,
        )
        kind = "image" if self._trained[0].ndim > 3 else "table"
        return DataProfile(source="watched loop", kind=kind, splits=(batch,), arguments=self._compared())


def _measurable(given: Named) -> Named:
    """Return the tensors whose values have a scale: no ids, no booleans, no per-sample scalars."""
    return [
        (name, one)
        for name, one in given
        if one.is_floating_point() and one.dim() > 1 and one.layout == torch.strided and not one.is_nested
    ]


def _widest(tensors: Named) -> Tensor:
    """Return the tensor with the most values, because rows of few values (a flag) coincide by chance."""
    return max((tensor for _, tensor in tensors), key=Tensor.numel)


def _keep(parts: list[Array], rows: Array, most: int) -> None:
    """Append rows of the same shape as the earlier ones, up to `most` values in total."""
    if parts and parts[0].shape[1:] != rows.shape[1:]:
        return
    room = most - sum(part.size for part in parts)
    fitting = rows[: room // max(1, int(np.prod(rows.shape[1:])))]
    if len(fitting):
        parts.append(fitting)


def _split(name: str, parts: list[Array]) -> SplitProfile:
    values = np.concatenate(parts)
    finite = np.where(np.isfinite(values), values, np.nan)
    known = np.isfinite(values).any()
    # Images: one value per channel; everything else: one value per feature.
    axes = (0, *range(2, values.ndim)) if values.ndim > 3 else tuple(range(values.ndim - 1))
    with np.errstate(all="ignore"):
        return SplitProfile(
            split=name,
            samples=len(values),
            input_shape=tuple(values.shape[1:]),
            low=float(np.nanmin(finite)) if known else float("nan"),
            high=float(np.nanmax(finite)) if known else float("nan"),
            mean=float(np.nanmean(finite)),
            std=float(np.nanstd(finite)),
            nonfinite=int(np.count_nonzero(~np.isfinite(values))),
            feature_mean=np.atleast_1d(np.nanmean(finite, axis=axes)),
            feature_std=np.atleast_1d(np.nanstd(finite, axis=axes)),
            constant_features=int(np.count_nonzero(np.nanstd(finite, axis=0) == 0)) if len(values) > 1 else 0,
        )


def _fingerprints(rows: Array) -> list[bytes]:
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    return [row.tobytes() if row.size <= 32 else hash(row.tobytes()).to_bytes(8, "little", signed=True) for row in flat]
