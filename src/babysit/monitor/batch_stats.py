"""What the first steps and evaluations of a watched loop were fed, kept small on the host.

The batches are those that entered the first layer, which is what training works with. Training and evaluation are
compared where both are fed, at the arguments of the model's call: what forward does to its input is no difference.
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
MOST_ROWS: Final = 100_000  # of one argument: more do not move its mean
# A pass counts as one over training data when at least this share of its rows was among the training rows looked at
# (a part of the epoch only); rows shared by chance or leaked are far fewer.
SEEN_BEFORE: Final = 0.2

Named = Sequence[tuple[str, Tensor]]
Argument = tuple[int, str, str]  # the identity of the module, its class, and the name of the argument


@final
class BatchStats:
    """Gathers the inputs of the first sampled steps and of the first evaluations, and knows training rows again."""

    def __init__(self) -> None:
        self._trained: list[Array] = []
        self._trained_modules: set[int] = set()
        self._arguments: dict[str, dict[Argument, RunningMoments]] = {"train": {}, "evaluation": {}}
        self._rows: set[bytes] = set()
        self._steps = 0
        self._nonfinite = 0  # values of batches that were not kept
        self.batch_size = 0

    def add(self, inputs: Tensor) -> None:
        """Take the input of one training step: what entered the first layer."""
        if inputs.dim():
            self.batch_size = self.batch_size or inputs.shape[0]
        if self._steps >= MOST_STEPS or inputs.dim() < 2 or not inputs.is_floating_point():
            return
        self._steps += 1
        _keep(self._trained, to_numpy(inputs), MOST_VALUES)

    def look(self, inputs: Tensor) -> None:
        """Count what is no number in a later batch; on the host only, elsewhere it would wait for the device."""
        if inputs.is_cpu and inputs.is_floating_point() and not math.isfinite(float(inputs.detach().sum())):
            self._nonfinite += int((~inputs.isfinite()).sum())

    def feed(self, module: nn.Module, given: Named) -> None:
        """Take what the model is called with in one training step."""
        tensors = _measurable(given)
        if tensors:
            self._rows.update(_fingerprints(to_numpy(_widest(tensors))))
        self._gather("train", module, tensors)

    def feed_evaluated(self, module: nn.Module, given: Named) -> bool:
        """Take what the model is called with in an evaluation; whether these are rows that it was trained on."""
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
        """Return the arguments seen on both sides of the same module.

        A module that is never trained, such as one with averaged weights, counts as a copy of the only one of its type.
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
        """Share of rows of a batch that were among the training rows looked at."""
        rows = to_numpy(inputs)
        marks = _fingerprints(rows)
        return sum(mark in self._rows for mark in marks) / len(marks) if marks else 0.0

    def profile(self, class_counts: tuple[int, ...], targets: RunningMoments) -> DataProfile | None:
        """The profile of what was seen, as the split `batch` and by argument; None when nothing was."""
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
    """Tensors whose values have a scale: no ids, no truth values, no numbers for whole samples."""
    return [
        (name, one)
        for name, one in given
        if one.is_floating_point() and one.dim() > 1 and one.layout == torch.strided and not one.is_nested
    ]


def _widest(tensors: Named) -> Tensor:
    """The one with the most values: rows of few values (a flag) are alike by chance."""
    return max((tensor for _, tensor in tensors), key=Tensor.numel)


def _keep(parts: list[Array], rows: Array, most: int) -> None:
    """Keep rows of the same shape as those before while there is room; of a large batch, as many as fit."""
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
    # Images: one value a channel; everything else: one value a feature.
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
