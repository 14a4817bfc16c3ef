"""A loss that is no longer a number: where it happened, why, and what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from babysit.data.splits import Splits
from babysit.training.state import TrainingState


@final
class NotFinite(Exception):  # noqa: N818  it ends a loop, it is no error of the program
    """The loss of this step was NaN or infinite."""

    def __init__(self, *, step: int, value: float, of: str) -> None:
        super().__init__(step, value, of)
        self.step, self.value, self.of = step, value, of


def require_finite(losses: Sequence[Tensor], *, last_step: int, of: str = "loss") -> None:
    """Raise NotFinite for the first of the losses of consecutive steps, `last_step` being the newest (from 1)."""
    if not losses:
        return
    for back, value in enumerate(torch.stack(list(losses)).tolist()):
        if not math.isfinite(value):
            raise NotFinite(step=last_step - len(losses) + 1 + back, value=value, of=of)


def say_why(problem: NotFinite, state: TrainingState, splits: Splits) -> str:
    """The cause, what was restored, and what to do, in words; a NaN cost almost always means too high a learning
    rate.
    """
    lr, best = state.settings.lr, state.stopping.best_epoch
    what = "NaN" if math.isnan(problem.value) else "infinite"
    restored = f"the weights of epoch {best} are restored" if best else "the first weights are restored"
    told = f"the {problem.of} became {what} at step {problem.step} (epoch {state.epoch + 1}) with learning rate {lr:g}"
    for samples, name in ((splits.train, "training"), (splits.validation, "validation")):
        if not bool(torch.isfinite(samples.x).all()):
            return f"{told}: the {name} inputs hold NaN or infinite values. Remove or fill them; {restored}"
    cause = "almost always the learning rate is too high"
    return f"{told}: {cause}. Try {lr / 10:g}, or the range that check() suggests; {restored}"
