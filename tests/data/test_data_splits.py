"""Splitting: seeded, stratified, complete."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.records.errors import UserError


def _numbered(labels):
    return load_data((np.arange(len(labels), dtype="float32")[:, None], np.array(labels)), task="classes")


@given(st.lists(st.integers(20, 60), min_size=2, max_size=5), st.integers(0, 1000))
def test_every_sample_is_in_exactly_one_split_and_classes_keep_their_share(counts, seed):
    samples = _numbered(np.repeat(np.arange(len(counts)), counts))
    splits = split(samples, seed=seed)
    parts = (splits.train, splits.validation, splits.test)
    assert sorted(torch.cat([part.x for part in parts]).flatten().tolist()) == list(range(sum(counts)))
    for share, part in zip((0.70, 0.15, 0.15), parts, strict=True):
        for label, count in enumerate(counts):
            assert abs(int((part.y == label).sum()) - share * count) <= 2
        assert all(samples.y[int(x)] == y for x, y in zip(part.x, part.y, strict=True))


def test_the_same_seed_gives_the_same_split_and_another_another():
    samples = load_data("digits")
    first, again, other = split(samples, seed=3), split(samples, seed=3), split(samples, seed=4)
    assert torch.equal(first.test.x, again.test.x)
    assert torch.equal(first.train.x, again.train.x)
    assert not torch.equal(first.test.x, other.test.x)


def test_splitting_leaves_the_global_random_states_alone():
    samples = load_data("digits")
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    torch_before = torch.get_rng_state()
    split(samples)
    assert np.array_equal(np.random.get_state()[1], before)
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_regression_is_split_without_classes():
    splits = split(load_data((np.zeros((100, 1)), np.linspace(0, 1, 100))))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (70, 15, 15)


def test_without_a_test_share_the_test_split_is_empty():
    splits = split(load_data("digits"), test=0)
    assert len(splits.test) == 0
    assert len(splits.train) + len(splits.validation) == 1797


def test_classes_with_too_few_samples_are_named():
    samples = load_data((np.zeros((22, 1)), ["a"] * 10 + ["b"] * 10 + ["rare"] * 2))
    with pytest.raises(UserError, match=r"'rare' has 2.*at least 3 samples"):
        split(samples)


def test_a_class_of_three_can_still_be_split():
    splits = split(_numbered([0] * 40 + [1] * 40 + [2] * 3), seed=0)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 83


def test_too_few_samples_for_the_shares_are_refused():
    with pytest.raises(UserError, match="too few"):
        split(_numbered([0, 0, 0, 1, 1, 1]))
    with pytest.raises(UserError, match="too few"):
        split(load_data((np.zeros((2, 1)), [0.5, 0.6])))


@pytest.mark.parametrize("shares", [(0, 0.1), (0.5, 0.5), (-0.1, 0.1), (0.1, -0.1), (float("nan"), 0.1)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(UserError, match="no usable split"):
        split(load_data("digits"), validation=shares[0], test=shares[1])
