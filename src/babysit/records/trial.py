"""Trials of a hyperparameter search."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class TrialState(StrEnum):
    """State of a trial."""

    COMPLETE = "complete"
    PRUNED = "pruned"  # stopped early; `reason` says why
    RUNNING = "running"


Value = float | int | str | bool


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of a trial when the trials of its stage were compared."""

    epochs: int  # trained so far
    step: int
    metric: float | None = None  # None if it had diverged


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, its result, and why it ended."""

    number: int
    stage: str  # coarse, fine, …
    parameters: dict[str, Value] = {}
    state: TrialState = TrialState.RUNNING
    reason: str = ""  # for a pruned trial: "loss above 3x the initial loss", "loss is NaN", …
    step: int = 0  # training steps it ran
    metric: float | None = None  # validation accuracy, or minus the loss: higher is better
    initial_cost: float | None = None
    last_costs: tuple[float, ...] = ()  # the last 20 training losses
    seconds: float = 0.0
    seed: int = 0
    rungs: tuple[Rung, ...] = ()  # every comparison it took part in, up to its end

    @property
    def level(self) -> int:
        """Epochs trained; metrics are comparable only at equal level."""
        return self.rungs[-1].epochs if self.rungs else 0


class StageRange(msgspec.Struct, frozen=True, kw_only=True):
    """Range of one hyperparameter in one stage, and the reason for it."""

    stage: str
    parameter: str
    low: float
    high: float
    log: bool = True
    why: str = ""
