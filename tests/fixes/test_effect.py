from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from babysit.fixes.effect import Effect, paired_effect, seeds_needed


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_the_interval_and_the_chance_are_those_of_scipy(seeds: int):
    generator = np.random.default_rng(seeds)
    before = generator.normal(0.5, 0.1, seeds)
    after = before + generator.normal(0.05, 0.02, seeds)
    gain = paired_effect(list(before), list(after), tail=0.02)
    test = stats.ttest_rel(after, before, alternative="greater")
    interval = stats.ttest_rel(after, before).confidence_interval(0.96)
    assert gain.chance == pytest.approx(float(test.pvalue), rel=1e-9)
    assert (gain.low, gain.high) == pytest.approx((float(interval.low), float(interval.high)), rel=1e-9)
    assert gain.spread == pytest.approx(float(np.std(after - before, ddof=1)), rel=1e-9)


def test_equal_steps_of_a_coarse_score_are_no_proof_of_a_gain_without_spread():
    step = 1 / 50
    gain = paired_effect([0.5] * 3, [0.5 + step] * 3, tail=0.05, resolution=step)
    assert gain.low < 0 < gain.high
    nothing = paired_effect([0.5] * 3, [0.5] * 3, tail=0.05, resolution=step)
    assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)


def test_the_seeds_that_would_tell_are_the_fewest_whose_interval_leaves_zero_or_the_margin():
    def told(gain: Effect, seeds: int, margin: float) -> bool:
        half = float(stats.t.isf(0.05, seeds - 1)) * gain.spread / seeds**0.5
        return gain.mean - half > 0 or gain.mean + half < margin

    for mean, margin in ((0.02, 0.0), (0.001, 0.03), (-0.01, 0.001)):
        gain = Effect(mean, 0.04, 0, 0, 0)
        needed = seeds_needed(gain, seeds=3, tail=0.05, margin=margin)
        assert needed is not None
        assert told(gain, needed, margin)
        assert not told(gain, needed - 1, margin)
    assert seeds_needed(Effect(0.0001, 1.0, 0, 0, 0), seeds=3, tail=0.05, margin=0.0) is None
