from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from torch import nn

from babysit.data.samples import Samples
from babysit.experiments.check import CheckSettings, check
from babysit.experiments.lr_trials import LRS, STEPS, lr_trials
from babysit.nn.builders import mlp
from babysit.records.experiment import Outcome


class Trial(NamedTuple):
    lr: float
    costs: tuple[float, ...]
    stopped: str = ""


def _ending(best: float, floor: float = 0.5):
    """Learning rates that end the lower the nearer they are to the best one; a hundred times more explodes."""

    def try_lrs(model: nn.Module, samples: Samples, lrs: Sequence[float], steps: int, seed: int) -> list[Trial]:
        assert steps == STEPS
        ends = [min(2.3, floor + 0.5 * abs(math.log10(lr / best))) for lr in lrs]
        return [Trial(lr, (2.3, end), "NaN" if lr > 99 * best else "") for lr, end in zip(lrs, ends, strict=True)]

    return try_lrs


@pytest.mark.parametrize("best", [1e-4, 1e-2])
def test_the_lr_that_ends_lowest_is_named_and_one_that_died_never_is(digits: Samples, best: float) -> None:
    found = lr_trials(mlp(64, 10), digits, try_lrs=_ending(best))
    assert found.outcome is Outcome.PASS
    assert found.measured["best"] == pytest.approx(best)
    assert f"Lowest at {best:.0e}" in found.message
    assert found.curves["loss"].values[-1] == math.inf
    assert list(found.curves["lr"].values) == pytest.approx(LRS)


def test_no_lr_that_makes_the_loss_fall_is_a_failure(digits: Samples) -> None:
    assert lr_trials(mlp(64, 10), digits, try_lrs=_ending(1e-3, floor=2.29)).outcome is Outcome.FAIL


def test_it_comes_after_the_sweep_when_somebody_can_train_side_by_side(digits: Samples) -> None:
    names = [result.name for result in check(mlp(64, 10), digits, settings=CheckSettings(try_lrs=_ending(1e-3)))]
    assert names[names.index("lr-range") + 1] == "lr-trials"
