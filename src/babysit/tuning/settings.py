"""Settings of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from babysit.records.errors import UserError


@final
@dataclass(frozen=True)
class Stage:
    """One stage of a search: the number of configurations and the epochs each is trained for.

    Raises:
        UserError: fewer than one trial or epoch.
    """

    name: str
    trials: int
    epochs: int

    def __post_init__(self) -> None:
        """Validate the number of trials and epochs."""
        if self.trials < 1 or self.epochs < 1:
            raise UserError(
                "a stage needs at least one trial and one epoch",
                where=f"{self.name}: {self.trials} trials, {self.epochs} epochs",
            )


@final
@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Many short trials over wide ranges first, then fewer and longer ones around the best (CS231n lecture 6).

    Raises:
        UserError: there is no stage.
    """

    stages: tuple[Stage, ...] = (Stage("coarse", 16, 2), Stage("fine", 8, 4))
    sampler: str = "random"  # random, grid, qmc, tpe or gp
    seed: int = 0
    # Reduction factor of successive halving (3: Li et al. 2018, Hyperband); 1 disables it. Stages with fewer trials
    # than its square, or fewer epochs than the factor, are not halved.
    halving: float = 3.0
    # Maximum number of stages added when the best values lie at an edge of a range after the last stage.
    extra_stages: int = 1
    # The best of many is partly luck: the best `finalists` are retrained on `finalist_seeds` new seeds to choose the
    # winner.
    finalists: int = 3
    finalist_seeds: int = 3
    ensemble: int = 0  # number of best configurations to retrain and evaluate as an ensemble
    optimizer: str = "adam"  # if not in the space
    batch_size: int = 64  # likewise
    lr: float = 1e-3  # likewise
    weight_decay: float = 0.0  # likewise
    device: str = "auto"
    precision: str = "32"  # auto: bfloat16 products where accurate and faster; bf16: where accurate

    def __post_init__(self) -> None:
        """Validate the settings."""
        if not self.stages:
            raise UserError("a search needs at least one stage", do='Give e.g. Stage("coarse", 16, 2)')
        if not self.halving >= 1:
            raise UserError(
                f"the reduction factor of halving must be at least 1, not {self.halving:g}",
                do="Use e.g. 3, or 1 to disable halving",
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise UserError("two stages have the same name", where=", ".join(names), do="Name each differently")
