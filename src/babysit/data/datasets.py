"""Map-style torch Datasets read into memory."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from babysit.data.arrays import make_samples
from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.records.model_summary import Task

_READ_AT_ONCE = 256  # samples per batch; affects only memory and speed


def load_dataset(dataset: Dataset[Any], *, task: Task | None = None, skip_invalid: bool = False) -> Samples:
    """Read samples from a Dataset of pairs (x, y); its transforms run once per sample."""
    name = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        raise UserError(
            "this Dataset has no length", where=name, do="Give a map-style Dataset, with __len__ and __getitem__"
        )
    if len(dataset) == 0:
        raise UserError("this Dataset is empty", where=name)
    # A separate generator: a DataLoader would otherwise use the caller's random state.
    loader = DataLoader(dataset, batch_size=_READ_AT_ONCE, shuffle=False, generator=torch.Generator().manual_seed(0))
    inputs: list[Tensor] = []
    targets: list[Tensor | list[str]] = []
    try:
        for batch in loader:
            x, y = _pair(batch, name)
            inputs.append(x)
            targets.append(y)
        x_all = torch.cat(inputs)
    except UserError:
        raise
    except Exception as problem:
        raise UserError(
            f"reading this Dataset failed: {type(problem).__name__}: {next(iter(str(problem).splitlines()), '')[:200]}",
            where=name,
            do="Its items must be pairs of a tensor (all of one shape) and a label; images need a transform to tensors",
        ) from problem
    return make_samples(x_all, _joined(targets), source=name, task=task, skip_invalid=skip_invalid)


def _pair(batch: Any, name: str) -> tuple[Tensor, Tensor | list[str]]:
    if not isinstance(batch, list | tuple) or len(batch) != 2 or not isinstance(batch[0], Tensor):
        kind = f"{len(batch)} parts" if isinstance(batch, list | tuple) else type(batch).__name__
        raise UserError(f"the items of this Dataset must be pairs (x, y), not {kind}", where=name, do="Return (x, y)")
    return batch[0], batch[1] if isinstance(batch[1], Tensor) else list(batch[1])


def _joined(targets: list[Tensor | list[str]]) -> Tensor | list[str]:
    tensors = [part for part in targets if isinstance(part, Tensor)]
    if len(tensors) == len(targets):
        return torch.cat(tensors)
    return [str(label) for part in targets for label in part]
