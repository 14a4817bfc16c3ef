"""Conversion of arrays of inputs and targets to samples, with validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from babysit.data.labels import read_target
from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.records.model_summary import Task

_CHANNELS = (1, 3, 4)  # grayscale, RGB, RGBA: an axis of this size is the channel axis
_MOST_NAMED = 5  # columns or files named in an error message before the rest is counted


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Convert numbers or text to a NumPy array; raise UserError for ragged rows and Python objects."""
    if isinstance(values, Tensor):
        return values.detach().cpu().resolve_conj().numpy()
    try:
        array: NDArray[Any] = np.asarray(values)
    except (ValueError, TypeError) as problem:
        raise UserError(f"{name} is not a regular array: {problem}", do="Give rows of one length") from problem
    if array.dtype == object:
        # pandas stores text columns as objects.
        if array.size and all(isinstance(value, str) for value in array.ravel()):
            return array.astype(str)
        raise UserError(f"{name} contains Python objects, not numbers", do="Convert it to one numeric type")
    return array


def make_samples(
    x: Any,
    y: Any,
    *,
    source: str = "arrays",
    task: Task | None = None,
    feature_names: tuple[str, ...] = (),
    given_test: int = 0,
    skip_invalid: bool = False,
) -> Samples:
    """Create samples from two arrays of equal length; raise UserError for data that cannot be trained on.

    x has the shape (samples, features), (samples, height, width), or (samples, channels, height, width); channels may
    come last. y as in `labels.read_target`. With `skip_invalid`, samples with a missing or infinite value in x or y are
    left out and counted.
    """
    inputs, targets = as_array(x, "x"), as_array(y, "y")
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
        raise UserError(
            f"x and y must have one row per sample: their shapes are {inputs.shape} and {targets.shape}", where=source
        )
    if len(inputs) == 0:
        raise UserError("there are no samples", where=source, do="Give data with at least one row")
    if inputs.dtype.kind not in "biuf":
        raise UserError(f"x holds values of type {inputs.dtype}, not real numbers", where=source)
    inputs, kind, shape_note = with_channels(inputs, source)
    skipped = 0
    if skip_invalid and not (good := complete(inputs, targets)).all():
        skipped, given_test = int((~good).sum()), int(good[len(good) - given_test :].sum()) if given_test else 0
        inputs, targets = inputs[good], targets[good]
        if not len(inputs):
            raise UserError(f"all {skipped} samples have missing values", where=source)
    skip_note = f"left out: {skipped} samples with missing values" if skipped else ""
    target = read_target(targets, task=task)
    return Samples(
        x=torch.from_numpy(as_finite(inputs, feature_names, source=source)),
        y=target.y,
        task=target.task,
        kind=kind,
        class_names=target.class_names,
        feature_names=feature_names,
        source=source,
        given_test=given_test,
        skipped=skipped,
        notes=tuple(note for note in (shape_note, target.note, skip_note) if note),
    )


def complete(x: NDArray[Any], y: NDArray[Any] | None) -> NDArray[np.bool_]:
    """Mark the samples with finite values (in float32) and a target."""
    with np.errstate(over="ignore"):
        good: NDArray[np.bool_] = np.asarray(np.isfinite(x.reshape(len(x), -1).astype(np.float32)).all(axis=1))
    if y is None:
        return good
    if y.dtype.kind in "US":
        return good & (np.char.str_len(y) > 0)
    return good & np.isfinite(y.reshape(len(y), -1)).all(axis=1) if y.dtype.kind in "biuf" else good


def with_channels(x: NDArray[Any], source: str) -> tuple[NDArray[Any], str, str]:
    """Return the inputs channels-first, their kind (table or image), and a note about the conversion."""
    if x.ndim == 1:
        raise UserError(f"x has one axis ({len(x)} values)", where=source, do="Give one row per sample: x[:, None]")
    if x.ndim > 4 or 0 in x.shape:
        raise UserError(f"x has shape {x.shape}", where=source, do="Give (samples, features) or images")
    if x.ndim == 2:
        return x, "table", ""
    if x.ndim == 3:
        return x[:, None], "image", f"read as grayscale images of {x.shape[1]} x {x.shape[2]} pixels"
    if x.shape[1] not in _CHANNELS and x.shape[3] in _CHANNELS:
        return np.moveaxis(x, 3, 1), "image", "channels moved from the last axis to the second"
    return x, "image", ""


def as_finite(x: NDArray[Any], feature_names: tuple[str, ...], *, source: str) -> NDArray[np.float32]:
    """Copy to a contiguous float32 array; raise UserError naming the columns with NaN or infinities."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.array(x, dtype=np.float32, order="C", copy=True)
    bad = ~np.isfinite(narrow)
    if not bad.any():
        return narrow
    missing, rows = int(np.isnan(narrow).sum()), int(bad.reshape(len(bad), -1).any(axis=1).sum())
    infinite = int(bad.sum()) - missing
    found = " and ".join(
        text
        for text in (
            f"{missing} missing (NaN) value{'s' * (missing != 1)}" if missing else "",
            f"{infinite} infinite or larger than 3.4e38" if infinite else "",
        )
        if text
    )
    where = f"{_columns(bad, feature_names)} of {source}" if narrow.ndim == 2 else source
    raise UserError(
        f"the features contain {found}, in {rows} of {len(bad)} samples",
        where=where,
        do="Fill them in (for example with the column median) or remove these rows or columns",
    )


def _columns(bad: NDArray[np.bool_], feature_names: tuple[str, ...]) -> str:
    counts = bad.sum(axis=0)
    columns = np.flatnonzero(counts)
    named = [
        f"{feature_names[column]!r:.60}: {counts[column]}" if feature_names else f"{column}: {counts[column]}"
        for column in columns
    ]
    return f"column{'s' * (len(columns) > 1)} {first_few(named)}"


def first_few(names: list[str]) -> str:
    """List the first few names, and the number of others."""
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + rest
