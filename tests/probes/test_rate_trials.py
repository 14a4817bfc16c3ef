from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from torch import nn

from babysit.data.samples import Samples
from babysit.nn.builders import mlp
from babysit.probes.check import CheckSettings, check
from babysit.probes.rate_trials import RATES, STEPS, rate_trials
from babysit.records.probe import Outcome


class Trial(NamedTuple):
    rate: float
    costs: tuple[float, ...]
    stopped: str = ""


def _ending(best: float, floor: float = 0.5):
    """Rates that end the lower the nearer they are to the best one; a hundred times more explodes."""

    def try_rates(model: nn.Module, samples: Samples, rates: Sequence[float], steps: int, seed: int) -> list[Trial]:
        assert steps == STEPS
        ends = [min(2.3, floor + 0.5 * abs(math.log10(rate / best))) for rate in rates]
        return [
            Trial(rate, (2.3, end), "NaN" if rate > 99 * best else "") for rate, end in zip(rates, ends, strict=True)
        ]

    return try_rates


@pytest.mark.parametrize("best", [1e-4, 1e-2])
def test_the_rate_that_ends_lowest_is_named_and_one_that_died_never_is(digits: Samples, best: float) -> None:
    found = rate_trials(mlp(64, 10), digits, try_rates=_ending(best))
    assert found.outcome is Outcome.PASS
    assert found.measured["best"] == pytest.approx(best)
    assert f"lowest at {best:.0e}" in found.message
    assert found.curves["loss"].values[-1] == math.inf
    assert list(found.curves["rate"].values) == pytest.approx(RATES)


def test_no_rate_that_makes_the_loss_fall_is_a_failure(digits: Samples) -> None:
    assert rate_trials(mlp(64, 10), digits, try_rates=_ending(1e-3, floor=2.29)).outcome is Outcome.FAIL


def test_it_comes_after_the_sweep_when_somebody_can_train_side_by_side(digits: Samples) -> None:
    names = [result.name for result in check(mlp(64, 10), digits, settings=CheckSettings(try_rates=_ending(1e-3)))]
    assert names[names.index("rate-range") + 1] == "rate-trials"
