"""One configuration that the search tried."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class TrialState(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"  # stopped early, by its reason
    RUNNING = "running"


Value = float | int | str | bool


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """Where a trial stood when the trials of its stage were compared."""

    epochs: int  # trained so far
    step: int
    metric: float | None = None  # None for one that had diverged


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, what came of it, and why it ended."""

    number: int
    stage: str  # coarse, fine, …
    parameters: dict[str, Value] = {}
    state: TrialState = TrialState.RUNNING
    reason: str = ""  # for a pruned trial: "cost above 3x the initial cost", "cost is NaN", …
    step: int = 0  # training steps it ran
    metric: float | None = None  # validation accuracy, or minus the loss: higher is better
    initial_cost: float | None = None
    last_costs: tuple[float, ...] = ()  # the last 20 costs before it ended
    seconds: float = 0.0
    seed: int = 0
    rungs: tuple[Rung, ...] = ()  # every comparison it took part in; the last one is where it ended

    @property
    def level(self) -> int:
        """How far it was trained, in epochs; metrics are compared at equal level only."""
        return self.rungs[-1].epochs if self.rungs else 0


class StageRange(msgspec.Struct, frozen=True, kw_only=True):
    """The range of one hyperparameter in one stage, and why it is what it is."""

    stage: str
    parameter: str
    low: float
    high: float
    log: bool = True
    why: str = ""
