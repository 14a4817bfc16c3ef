"""Settings of a training, with defaults."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, final

from babysit.records.errors import UserError

PRECISIONS: Final = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true")


@final
@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of `fit`. Raises UserError for invalid values.

    The same seed gives the same numbers on the same machine. `folder` is the checkpoint folder; None for no checkpoint.
    """

    lr: float = 1e-3  # Adam's own default
    weight_decay: float = 0.0
    optimizer: str = "adam"
    batch_size: int = 64
    epochs: int = 50
    patience: int = 8  # epochs without a better validation score before training stops
    gap_patience: int = 5  # epochs of a widening gap before training stops; early_stopping.py has the measurement
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    folder: Path | None = None
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "patience", "gap_patience"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}", do="Use an integer of at least 1")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise UserError(f"the learning rate is {self.lr}", do="Use a number above 0, such as 0.001")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise UserError(f"the weight decay is {self.weight_decay}", do="Use 0 or a small positive number")
        if self.seed < 0:
            raise UserError(f"the seed is {self.seed}", do="Use an integer of at least 0")
        if self.precision not in PRECISIONS:
            raise UserError(f"there is no precision {self.precision!r}", do=f"Use one of {', '.join(PRECISIONS)}")

    def plain(self) -> dict[str, float | int | str | bool]:
        """Return the settings without the folder as plain values, for a run or a checkpoint."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}
