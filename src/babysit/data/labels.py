"""Conversion of targets to class indices or real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from babysit.records.errors import UserError
from babysit.records.model_summary import Task

# Integers with at most this many distinct values are classes if there are enough samples of each. Ratings, digits,
# months and the like stay below; counts, years and prices do not. `task` overrides a wrong guess.
MOST_CLASSES = 20
# …or any number of classes numbered 0, 1, 2, … without a gap (the usual numbering in data sets) with this many samples
# on average: with fewer, a class can hardly be learned, and the numbers are more likely a count.
SAMPLES_PER_CLASS = 10


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """Targets for the network: y as in `Samples`, the class names, and a note about the conversion."""

    y: Tensor
    task: Task
    class_names: tuple[str, ...] = ()
    note: str = ""


def read_target(values: NDArray[Any], *, task: Task | None = None, name: str = "y") -> Target:
    """Convert labels to class indices, real numbers to float32 columns; `task` overrides the detected task.

    Raises UserError when a value is missing or infinite, or when there is only one class.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in {1, 2} or (values.ndim == 2 and values.shape[1] == 0):
        raise UserError(
            f"the target has shape {values.shape}", where=name, do="Give one value, or one row of values, per sample"
        )
    if values.dtype.kind not in "biufUS":
        raise UserError(
            f"the target contains values of type {values.dtype}", where=name, do="Give numbers or text, without gaps"
        )
    _refuse_unusable(values, name)
    if values.ndim == 2:
        return _columns(values, task)
    chosen = task or (Task.CLASSES if _names_classes(values) else Task.REGRESSION)
    if chosen is Task.CLASSES:
        return _classes(values, name, decided=task is not None)
    if chosen is Task.REGRESSION:
        return _regression(values, name, decided=task is not None)
    raise UserError(f"a single target column does not fit the task {chosen.value!r}", where=name)


def _refuse_unusable(values: NDArray[Any], name: str) -> None:
    if values.dtype.kind in "US":
        missing = int((np.char.str_len(values) == 0).sum())
        what = "no value"
    else:
        missing = int((~np.isfinite(values)).sum()) if values.dtype.kind == "f" else 0
        what = "a missing (NaN) or infinite value"
    if missing:
        raise UserError(
            f"{missing} of {len(values)} samples have {what} as their target", where=name, do="Remove these samples"
        )


def _names_classes(values: NDArray[Any]) -> bool:
    if values.dtype.kind in "bUS":
        return True
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        return False
    return are_classes(np.unique(values), len(values))


def are_classes(distinct: NDArray[Any], samples: int) -> bool:
    """Decide whether sorted distinct integers among `samples` samples are classes rather than quantities."""
    if len(distinct) <= MOST_CLASSES:
        return samples >= 2 * len(distinct)  # a class has at least two samples
    counted = bool(np.array_equal(distinct, np.arange(len(distinct))))
    return counted and samples >= SAMPLES_PER_CLASS * len(distinct)


def _classes(values: NDArray[Any], name: str, *, decided: bool) -> Target:
    distinct, indices = np.unique(values, return_inverse=True)
    if len(distinct) < 2:
        only = f"{distinct[0]!s:.40}" if len(distinct) else "none"
        raise UserError(
            f"all {len(values)} samples are of one class ({only})",
            where=name,
            do="Give samples of at least two classes",
        )
    names = tuple(label_of(value) for value in distinct)
    note = "" if decided or values.dtype.kind in "US" else f"{len(names)} distinct integers: read as classes"
    return Target(y=torch.from_numpy(indices.astype(np.int64)), task=Task.CLASSES, class_names=names, note=note)


def label_of(value: Any) -> str:
    """Return the name of a class: 3.0 and 3 are "3"."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(int(value)) if isinstance(value, np.floating) and value == int(value) else str(value)


def _regression(values: NDArray[Any], name: str, *, decided: bool) -> Target:
    if values.dtype.kind in "US":
        raise UserError("the target contains text, which regression cannot predict", where=name)
    if len(values) > 1 and np.ptp(values.astype(np.float64)) == 0:
        raise UserError(
            f"all {len(values)} samples have the same target ({values[0]})", where=name, do="There is nothing to learn"
        )
    kind = "real numbers" if values.dtype.kind == "f" else "integers with many distinct values"
    note = "" if decided else f"{kind}: read as regression"
    return Target(y=_real(values[:, None], name), task=Task.REGRESSION, note=note)


def _columns(values: NDArray[Any], task: Task | None) -> Target:
    if values.dtype.kind in "US":
        raise UserError("a target of several columns must be numeric", where="y")
    zero_one = bool(np.isin(values, (0, 1)).all())
    width = values.shape[1]
    if task in {None, Task.CLASSES} and zero_one and bool((values.sum(axis=1) == 1).all()):
        indices = torch.from_numpy(values.argmax(axis=1).astype(np.int64))
        names = tuple(str(index) for index in range(width))
        return Target(y=indices, task=Task.CLASSES, class_names=names, note=f"one-hot rows: read as {width} classes")
    if task in {None, Task.MULTILABEL} and zero_one:
        note = f"{width} columns of 0 and 1: read as {width} labels (multilabel)"
        return Target(y=_real(values, "y"), task=Task.MULTILABEL, note=note)
    if task in {None, Task.REGRESSION}:
        return Target(y=_real(values, "y"), task=Task.REGRESSION, note=f"{width} target columns: read as regression")
    raise UserError(f"a target of {width} columns does not fit the task {task.value!r}", where="y")


def _real(values: NDArray[Any], name: str) -> Tensor:
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise UserError("some targets are larger than 3.4e38, the largest float32", where=name, do="Rescale the target")
    return torch.from_numpy(narrow)
