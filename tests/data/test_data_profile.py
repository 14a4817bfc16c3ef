"""Statistics of splits against plain float64 NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from babysit.data.profile import profile
from babysit.data.sources import load_data
from babysit.data.splits import Splits, split


def _images():
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(3000, 3, 4, 5)) * [[[[1]], [[20]], [[0.1]]]] + [[[[1000]], [[0]], [[-3]]]]).astype(
        "float32"
    )
    return load_data((x, generator.integers(0, 4, 3000)))


@pytest.mark.parametrize("samples", [load_data("digits"), _images()], ids=["table", "image"])
def test_statistics_equal_those_of_numpy_in_float64(samples):
    splits = split(samples, seed=1)
    for found, part in zip(profile(splits).splits, (splits.train, splits.validation, splits.test), strict=True):
        x = part.x.double().numpy()
        axes = (0,) if x.ndim == 2 else (0, 2, 3)
        assert found.samples == len(part)
        assert found.input_shape == part.input_shape
        np.testing.assert_allclose(found.feature_mean, x.mean(axes), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.feature_std, x.std(axes), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose([found.mean, found.std], [x.mean(), x.std()], rtol=1e-9)
        assert (found.low, found.high) == (x.min(), x.max())
        assert found.constant_features == sum(np.ptp(x, axis=axes) == 0)
        assert found.class_counts == tuple(np.bincount(part.y.numpy()))


def test_a_constant_feature_is_counted_though_sums_round():
    x = np.column_stack((np.full(1000, 0.1), np.linspace(0, 1, 1000)))
    splits = split(load_data((x, np.linspace(0, 1, 1000))))
    assert [part.constant_features for part in profile(splits).splits] == [1, 1, 1]


def test_regression_targets_have_mean_and_variance():
    y = np.random.default_rng(0).normal(5, 2, 400)
    splits = split(load_data((np.arange(400.0)[:, None], y)))
    train = profile(splits).split("train")
    expected = splits.train.y.double().numpy()
    assert train.target_mean == pytest.approx(expected.mean())
    assert train.target_variance == pytest.approx(expected.var())
    assert train.class_counts == ()


def test_duplicates_and_samples_that_leaked_from_training_are_counted():
    x = torch.arange(20.0)[:, None]
    samples = load_data((x, np.arange(20) % 2))
    splits = Splits(
        train=samples.take([0, 1, 2, 2, 2, 3]), validation=samples.take([4, 4, 1, 3]), test=samples.take([5, 6])
    )
    found = profile(splits)
    assert [part.duplicates for part in found.splits] == [2, 1, 0]
    assert [part.leaked for part in found.splits] == [0, 2, 0]


def test_the_fingerprint_changes_with_the_data_and_with_nothing_else():
    samples = load_data("digits")
    first = profile(split(samples, seed=0)).fingerprint
    assert profile(split(replace(samples, source="elsewhere"), seed=5)).fingerprint == first
    changed = samples.x.clone()
    changed[7, 7] += 1
    assert profile(split(replace(samples, x=changed))).fingerprint != first
    relabelled = samples.y.clone()
    relabelled[0] = 9
    assert profile(split(replace(samples, y=relabelled))).fingerprint != first


def test_a_zero_and_a_negative_zero_are_the_same_sample():
    samples = load_data((np.array([[0.0], [-0.0], [1.0]]), [0, 1, 1]))
    splits = Splits(train=samples, validation=samples.take([2]), test=samples.take([]))
    assert profile(splits).split("train").duplicates == 1


def test_an_empty_test_split_is_left_out():
    found = profile(split(load_data("digits"), test=0), preprocessing="standardized by the training split")
    assert [part.split for part in found.splits] == ["train", "validation"]
    assert found.preprocessing.startswith("standardized")
