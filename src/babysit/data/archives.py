"""NumPy `.npz` archives; pickled objects are never loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from babysit.data.arrays import make_samples
from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.records.model_summary import Task

# Usual names for arrays of inputs and targets, most common first.
_PAIRS = (
    ("x", "y"),
    ("X", "y"),
    ("data", "target"),
    ("data", "labels"),
    ("features", "labels"),
    ("features", "target"),
    ("images", "labels"),
    ("x_train", "y_train"),
    ("X_train", "y_train"),
)


def load_archive(
    path: Path, *, target: str | None = None, task: Task | None = None, skip_invalid: bool = False
) -> Samples:
    """Load samples from an `.npz` file; `target` names the array of targets if it has an unusual name.

    `x_test` and `y_test` next to `x_train` and `y_train` become the test set.
    """
    arrays = read_archive(path)
    x_key, y_key = array_keys({key: value.shape for key, value in arrays.items()}, path, target)
    x, y = arrays[x_key], arrays[y_key]
    x_test, y_test = (arrays.get(key.replace("train", "test")) if "train" in key else None for key in (x_key, y_key))
    if x_test is None or y_test is None:
        return make_samples(x, y, source=str(path), task=task, skip_invalid=skip_invalid)
    if x.shape[1:] != x_test.shape[1:] or y.shape[1:] != y_test.shape[1:]:
        raise UserError(
            f"training and test arrays have different shapes: {x.shape} and {x_test.shape}", where=str(path)
        )
    return make_samples(
        np.concatenate((x, x_test)),
        np.concatenate((y, y_test)),
        source=str(path),
        task=task,
        given_test=len(x_test),
        skip_invalid=skip_invalid,
    )


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of the file by name; raise UserError for damaged files and pickled objects."""
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise UserError(
                "this file contains one array without a name", where=str(path), do="Save x and y with np.savez"
            )
        with opened:
            return {key: _member(opened, key, path) for key in opened.files}
    except UserError:
        raise
    # A damaged archive may fail in its directory, in decompression, or in the header of an array.
    except Exception as problem:
        if "pickle" in str(problem):  # NumPy's message recommends allow_pickle
            raise UserError(
                "this is a pickle, which could run code when loaded, so it is not loaded",
                where=str(path),
                do="Write it with np.savez(path, x=x, y=y)",
            ) from problem
        raise UserError(
            f"this is not a readable .npz file: {problem}", where=str(path), do="Write it with np.savez(path, x=x, y=y)"
        ) from problem


def _member(opened: Any, key: str, path: Path) -> NDArray[Any]:
    try:
        value = opened[key]
    except ValueError as problem:
        if "allow_pickle" not in str(problem) and "Object arrays" not in str(problem):
            raise
        raise UserError(
            f"the array {key!r} contains Python objects, which could run code when loaded, so it is not loaded",
            where=str(path),
            do=f"Save it with a numeric or text type: np.savez(path, {key}={key}.astype(float))",
        ) from problem
    if not isinstance(value, np.ndarray):
        raise UserError(f"{key!r} is not an array", where=str(path), do="Write the file with np.savez(path, x=x, y=y)")
    return value


def array_keys(arrays: Mapping[str, tuple[int, ...]], path: Path, target: str | None) -> tuple[str, str]:
    """Find the names of inputs and targets among arrays given by name and shape; raise UserError if ambiguous."""
    listing = ", ".join(f"{key} {shape}" for key, shape in arrays.items()) or "nothing"
    if target is None:
        for pair in _PAIRS:
            if pair[0] in arrays and pair[1] in arrays:
                return pair
        raise UserError(
            f"no arrays named x and y, X and y, data and target, or x_train and y_train; the file contains {listing}",
            where=str(path),
            do="Save the inputs as x and the targets as y",
        )
    if target not in arrays:
        raise UserError(f"no array is named {target!r}; the file contains {listing}", where=str(path))
    inputs = [key for key, _ in _PAIRS if key in arrays] or [key for key in arrays if key != target]
    if len(set(inputs)) != 1:
        raise UserError(
            f"it is not clear which array holds the inputs; the file contains {listing}",
            where=str(path),
            do="Save the inputs as x",
        )
    return inputs[0], target
