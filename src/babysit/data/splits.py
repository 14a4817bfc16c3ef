"""Training, validation and test samples: seeded and stratified splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.records.model_summary import Task


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """Training, validation and test samples."""

    train: Samples
    validation: Samples
    test: Samples  # empty when no test split was requested


def split(samples: Samples, *, seed: int = 0, validation: float = 0.15, test: float = 0.15) -> Splits:
    """Split samples by shares; the same seed gives the same split on every machine.

    Class shares are the same in every split. A test set of the source (`Samples.given_test`) stays the test set, and
    only the rest is split. Raises UserError when there are too few samples.
    """
    if not (validation > 0 and test >= 0 and validation + test < 1):
        raise UserError(
            f"the shares {validation} for validation and {test} for test leave no usable split",
            do="Give a positive validation share and a sum below 1, such as 0.15 and 0.15",
        )
    if seed < 0:
        raise UserError(f"the seed is {seed}", do="Give a non-negative integer")
    given = len(samples) - samples.given_test
    pool, held_out = np.arange(given), np.arange(given, len(samples))
    if samples.task is Task.CLASSES:
        _refuse_rare(samples.y[:given].numpy(), samples.class_names)
    if test and not samples.given_test:
        pool, held_out = _part(samples, pool, count=round(test * given), seed=seed)
    train, checked = _part(samples, pool, count=round(validation * given), seed=seed)
    return Splits(
        train=samples.take(torch.from_numpy(train)),
        validation=samples.take(torch.from_numpy(checked)),
        test=samples.take(torch.from_numpy(held_out)),
    )


def _part(
    samples: Samples, positions: NDArray[np.int64], *, count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    classes = samples.y[torch.from_numpy(positions)].numpy() if samples.task is Task.CLASSES else None
    try:
        rest, taken = train_test_split(positions, test_size=count, random_state=seed, stratify=classes)
    except ValueError as problem:
        many = f" of {len(np.unique(classes))} classes" if classes is not None else ""
        raise UserError(
            f"{len(positions)} samples{many} are too few to split off {count} of them",
            where=samples.source,
            do="Give more samples or larger validation and test shares",
        ) from problem
    return np.sort(rest), np.sort(taken)


def _refuse_rare(classes: NDArray[np.int64], names: tuple[str, ...]) -> None:
    counts = np.bincount(classes, minlength=len(names))
    rare = [f"{names[index]!r:.60} has {counts[index]}" for index in np.flatnonzero(counts < 3)]
    if rare:
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        raise UserError(
            f"some classes have too few samples to be split: {', '.join(rare[:5])}{more}",
            do="Give at least 3 samples of each class (10 or more to learn from), or remove the class",
        )
