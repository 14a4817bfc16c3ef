"""Batches whose order is a function of seed and epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from babysit.data.batches import batch_bounds, batches
from babysit.data.sources import load_data
from babysit.records.errors import UserError


def _samples(count):
    return load_data((np.arange(count, dtype="float32")[:, None], np.arange(count) / count + 0.25))


def _seen(samples, **options):
    return [x.flatten().tolist() for x, _ in batches(samples, **options)]


@given(st.integers(2, 80), st.integers(1, 90), st.integers(0, 5), st.integers(0, 5))
def test_every_sample_comes_once_and_with_its_own_target(count, size, seed, epoch):
    samples = _samples(count)
    places: list[float] = []
    for x, y in batches(samples, size=size, seed=seed, epoch=epoch):
        assert torch.equal(y, samples.y[x.flatten().long()])
        assert len(x) <= size + 1
        assert len(x) > 1 or size == 1
        places += x.flatten().tolist()
    assert sorted(places) == list(range(count))


def test_the_order_depends_on_seed_and_epoch_and_on_no_other_random_state():
    samples = _samples(50)
    first = _seen(samples, size=8, seed=1, epoch=2)
    torch.manual_seed(99)
    np.random.seed(99)
    assert _seen(samples, size=8, seed=1, epoch=2) == first
    assert _seen(samples, size=8, seed=1, epoch=3) != first
    assert _seen(samples, size=8, seed=2, epoch=2) != first
    assert _seen(samples, size=8, seed=2, epoch=1) != first


def test_drawing_batches_does_not_change_the_random_state():
    before = torch.get_rng_state()
    _seen(_samples(10), size=4)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_shuffling_samples_come_in_their_order():
    assert _seen(_samples(5), size=2, shuffle=False) == [[0, 1], [2, 3, 4]]


def test_a_lone_last_sample_joins_the_batch_before_it():
    assert batch_bounds(9, 4) == ((0, 4), (4, 9))
    assert batch_bounds(1, 4) == ((0, 1),)
    assert batch_bounds(3, 1) == ((0, 1), (1, 2), (2, 3))
    assert batch_bounds(0, 4) == ()


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(UserError, match="batch size is 0"):
        _seen(_samples(5), size=0)
