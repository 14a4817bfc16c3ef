"""A search at chance is told from one that learned, by metric or by loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from babysit.analysis.constant import Constant, best_by_chance, from_counts, from_profile, from_variance, none_beat
from babysit.data.samples import Samples
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.model_summary import Task
from babysit.records.trial import Trial, TrialState
from babysit.tuning.constant_prediction import constant_prediction


def trial(metric: float | None, *costs: float) -> Trial:
    return Trial(number=0, stage="coarse", state=TrialState.COMPLETE, metric=metric, last_costs=costs)


def test_the_constant_answer_is_the_most_frequent_class_or_the_mean():
    counts = (700, 200, 100)
    constant = from_counts(counts, (70, 20, 10))
    assert constant is not None
    shares = np.array(counts) / 1000
    assert constant == pytest.approx((0.7, 100, -float((shares * np.log(shares)).sum())))
    assert from_counts((5,), (5,)) is None
    assert from_variance(4.0, 50) == Constant(0.0, 50, 4.0)
    assert from_variance(0.0, 50) is None


def test_profile_and_samples_give_the_same_constant_answer():
    y = torch.tensor([0] * 6 + [1] * 3 + [2] * 1)
    samples = Samples(x=torch.zeros(10, 2), y=y, task=Task.CLASSES, kind="table")
    splits = tuple(SplitProfile(split=name, samples=10, class_counts=(6, 3, 1)) for name in ("train", "validation"))
    assert from_profile(DataProfile(splits=splits)) == constant_prediction(samples, samples)
    several = tuple(SplitProfile(split=name, samples=10, class_counts=(9, 8)) for name in ("train", "validation"))
    assert from_profile(DataProfile(splits=several)) is None  # more than one label a sample
    assert from_profile(None) is None


def test_networks_that_learned_nothing_are_hardly_ever_taken_for_ones_that_did():
    """Accuracies of 64 untrained networks on the digits: 0.10 on average, deviation 0.038, on 270 samples."""
    constant = Constant(0.104, 270, math.log(10))
    generator = np.random.default_rng(0)
    searches = [
        [trial(float(metric), 2.31, 2.30, 2.32) for metric in generator.normal(0.1, 0.038, 16)] for _ in range(300)
    ]
    assert sum(not none_beat(trials, constant) for trials in searches) <= 3


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (trial(0.5, 2.5, 2.4), False),  # the metric shows it
        (trial(0.1, 1.9, 1.8), False),  # the loss shows it
        (trial(0.12, 2.29, 2.28), True),
        (trial(0.12, 1.0, 3.4), True),  # a mean below by two batches alone is no evidence
        (trial(0.12), False),  # no losses are known
        (trial(None, 2.3), False),  # it diverged
    ],
)
def test_metric_or_loss_shows_that_something_was_learned(one: Trial, expected: bool):
    constant = Constant(0.1, 300, math.log(10))
    assert none_beat([one], constant) is expected
    assert not none_beat([one], None)


def test_more_trials_reach_higher_by_luck():
    constant = Constant(0.1, 300, math.log(10))
    assert 0.1 < best_by_chance(constant, 1) < best_by_chance(constant, 100)
    assert best_by_chance(Constant(0.0, 50, 1.0), 100) == 0.0
