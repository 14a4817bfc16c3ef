"""Detection and explanation of a loss that is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from babysit.data.splits import Splits
from babysit.training.state import TrainingState


@final
class NotFinite(Exception):  # noqa: N818  it ends the loop and is not an error of the program
    """Raised when the loss of a step is NaN or infinite."""

    def __init__(self, *, step: int, value: float, of: str) -> None:
        super().__init__(step, value, of)
        self.step, self.value, self.of = step, value, of


def require_finite(losses: Sequence[Tensor], *, last_step: int, of: str = "loss") -> None:
    """Raise NotFinite at the first loss of consecutive steps that is not finite; `last_step` counts from 1."""
    if not losses:
        return
    for back, value in enumerate(torch.stack(list(losses)).tolist()):
        if not math.isfinite(value):
            raise NotFinite(step=last_step - len(losses) + 1 + back, value=value, of=of)


def explain(problem: NotFinite, state: TrainingState, splits: Splits) -> str:
    """Return cause, restored weights and recommendation as text; the usual cause is too high a learning rate."""
    lr, best = state.settings.lr, state.stopping.best_epoch
    what = "NaN" if math.isnan(problem.value) else "infinite"
    restored = f"the weights of epoch {best} are restored" if best else "the initial weights are restored"
    text = f"the {problem.of} became {what} at step {problem.step} (epoch {state.epoch + 1}) with learning rate {lr:g}"
    for samples, name in ((splits.train, "training"), (splits.validation, "validation")):
        if not bool(torch.isfinite(samples.x).all()):
            return f"{text}: the {name} inputs contain NaN or infinite values. Remove or impute them; {restored}"
    cause = "usually the learning rate is too high"
    return f"{text}: {cause}. Try {lr / 10:g}, or the range that check() suggests; {restored}"
