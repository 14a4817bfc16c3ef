"""Training state for bit-exact resumption."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Final, final

import numpy as np
import torch
from lightning_fabric.plugins import Precision
from torch import Tensor, nn
from torch.optim import Optimizer

from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.experiments.isolation import random_states, set_random_states
from babysit.records.errors import UserError
from babysit.training.early_stopping import Stopping
from babysit.training.settings import FitSettings

# These may differ when a training is resumed: they decide its length and device, not what is computed.
_FREE: Final = frozenset({"epochs", "patience", "gap_patience", "device"})


@final
@dataclass(kw_only=True, eq=False)
class TrainingState:
    """Model, optimizer and counters of one training; seed and epoch determine the order of the samples."""

    model: nn.Module
    optimizer: Optimizer
    settings: FitSettings
    precision: Precision  # Fabric's: it holds the loss scale of 16-mixed
    data: str  # digest of training and validation samples
    step: int = 0  # optimizer steps taken
    stopping: Stopping = field(default_factory=Stopping)
    best_step: int = 0
    best: dict[str, Any] = field(default_factory=dict)  # weights after the best epoch; before it the initial weights

    @property
    def epoch(self) -> int:
        """Complete epochs trained."""
        return self.stopping.epochs

    def keep_best(self) -> None:
        """Store the current weights as the best."""
        self.best = {
            name: value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
            for name, value in self.model.state_dict().items()
        }
        self.best_step = self.step

    def capture(self) -> dict[str, Any]:
        """Return the state as tensors and plain values, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "settings": self.settings.plain(),
            "data": self.data,
            "step": self.step,
            "stopping": asdict(self.stopping),
            "best_step": self.best_step,
            "best": self.best,
            "random": random_states(),
        }

    def load(self, saved: dict[str, Any], *, where: str) -> None:
        """Restore the state of a checkpoint. Raises UserError if it has another model, data or settings."""
        _require_same(saved, self.settings.plain(), self.data, where)
        try:
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.precision.load_state_dict(saved["precision"])
        except (RuntimeError, ValueError) as problem:
            raise UserError(
                f"the checkpoint belongs to another model: {str(problem).splitlines()[-1].strip()}",
                where=where,
                do="Build the model with the same architecture, or start a new training",
            ) from problem
        self.step, self.best_step, self.best = saved["step"], saved["best_step"], saved["best"]
        self.stopping = Stopping(**saved["stopping"])
        set_random_states(saved["random"])


def _require_same(saved: dict[str, Any], settings: dict[str, Any], data: str, where: str) -> None:
    changed = [
        f"{name} was {saved['settings'].get(name)} and is {value}"
        for name, value in settings.items()
        if name not in _FREE and saved["settings"].get(name) != value
    ]
    if changed:
        raise UserError(
            f"the checkpoint was made with other settings: {', '.join(changed)}",
            where=where,
            do="Use the same settings, or start a new training",
        )
    if saved["data"] != data:
        raise UserError(
            "the checkpoint was made with other samples",
            where=where,
            do="Use the same data and split seed, or start a new training",
        )


def digest(splits: Splits) -> str:
    """Hash the values and the order of the training and validation samples."""
    found = hashlib.blake2b(digest_size=16)
    for samples in (splits.train, splits.validation):
        for tensor in (samples.x, samples.y):
            found.update(str(tuple(tensor.shape)).encode())
            found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return found.hexdigest()


def fixed_subset(samples: Samples, *, count: int, seed: int) -> Samples:
    """Draw a reproducible subset of `count` samples."""
    generator = torch.Generator().manual_seed(seed)
    return samples.take(torch.randperm(len(samples), generator=generator)[:count])
