"""How a search is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from babysit.records.errors import UserError


@final
@dataclass(frozen=True)
class Stage:
    """One stage of a search: how many configurations, and how long each is trained.

    Raises:
        UserError: fewer than one trial or epoch.
    """

    name: str
    trials: int
    epochs: int

    def __post_init__(self) -> None:
        """Refuses a stage that does nothing."""
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
    # One trial in so many goes on at each rung (3: Li et al. 2018, Hyperband); 1 trains all to the end. Stages with
    # fewer trials than its square, or fewer epochs than it, are not halved.
    halving: float = 3.0
    # When the best lie at an edge even after the last stage, at most so many more stages follow the range there.
    extra_stages: int = 1
    # The best of many is partly luck: so many of the best are trained again on so many new seeds before one is named.
    finalists: int = 3
    finalist_seeds: int = 3
    ensemble: int = 0  # so many of the best are trained once more and asked together
    optimizer: str = "adam"  # where the space has none
    batch_size: int = 64  # likewise
    lr: float = 1e-3  # likewise
    weight_decay: float = 0.0  # likewise
    device: str = "auto"
    precision: str = "32"  # auto: bfloat16 products where they are right and faster; bf16: wherever they are right

    def __post_init__(self) -> None:
        """Refuses a search without stages, and numbers without meaning."""
        if not self.stages:
            raise UserError("a search needs at least one stage", do='Give e.g. Stage("coarse", 16, 2)')
        if not self.halving >= 1:
            raise UserError(
                f"a rung cannot keep one trial in {self.halving:g}", do="Give 3 or so, or 1 to train all to the end"
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise UserError("two stages have the same name", where=", ".join(names), do="Name each differently")
