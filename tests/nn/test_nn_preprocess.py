"""Preprocessing modules against float64 NumPy, however the data are cut into batches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from babysit.nn import moments as moments_file
from babysit.nn.moments import moments
from babysit.nn.preprocess import Center, Standardize, preprocessing_for
from babysit.records.errors import UserError

TABLES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
)


def _cut(x, sizes):
    batches, start = [], 0
    while start < len(x):
        size = sizes[len(batches) % len(sizes)]
        batches.append(x[start : start + size])
        start += size
    return batches


@given(TABLES, st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_any_cutting_into_batches_gives_the_moments_of_the_whole(x, sizes):
    found = moments(_cut(torch.from_numpy(x), sizes))
    wide = x.astype(np.float64)
    scale = np.abs(wide).max() + 1e-30
    np.testing.assert_allclose(found.mean, wide.mean(0), rtol=1e-6, atol=1e-12 * scale)
    np.testing.assert_allclose(found.variance.sqrt(), wide.std(0), rtol=1e-6, atol=1e-9 * scale)
    assert found.constant.tolist() == (np.ptp(wide, axis=0) == 0).tolist()
    assert found.count == len(x)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.sampled_from(["channel", "pixel"]))
def test_images_in_any_batches_give_the_statistics_of_the_whole(sizes, per):
    x = torch.from_numpy(np.random.default_rng(0).normal(1000, 3, (20, 3, 4, 5)).astype("float32"))
    found = moments(_cut(x, sizes), per=per)
    axes = (0,) if per == "pixel" else (0, 2, 3)
    wide = x.double().numpy()
    np.testing.assert_allclose(found.mean.squeeze(), wide.mean(axes), rtol=1e-12)
    np.testing.assert_allclose(found.variance.squeeze(), wide.var(axes), rtol=1e-9)


def test_a_small_spread_around_a_large_mean_is_not_lost():
    x = torch.tensor([[1e7], [1e7 + 1], [1e7 + 2]]).repeat(1000, 1)
    assert moments(x.split(7)).variance.item() == pytest.approx(2 / 3, rel=1e-9)


def test_a_large_tensor_is_taken_in_pieces_without_changing_the_result(monkeypatch):
    x = torch.randn(101, 3)
    whole = moments(x)
    monkeypatch.setattr(moments_file, "_VALUES_AT_ONCE", 12)
    torch.testing.assert_close(moments(x).variance, whole.variance, rtol=1e-12, atol=0)


def test_standardized_features_have_mean_0_and_standard_deviation_1():
    x = torch.randn(500, 3) * torch.tensor([1e-3, 1.0, 1e4]) + torch.tensor([5.0, 0.0, -1e4])
    z = Standardize.fit(x)(x).double()
    assert z.mean(0).abs().max() < 1e-3
    assert (z.std(0, correction=0) - 1).abs().max() < 1e-5


def test_channels_of_images_are_standardized_each_by_its_own():
    x = torch.randn(50, 2, 8, 8) * torch.tensor([3.0, 50.0])[:, None, None] + 100
    module = Standardize.fit(x)
    assert module.mean.shape == (2, 1, 1)
    assert (module(x).std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 1e-41])
def test_a_constant_feature_becomes_zero_and_other_values_of_it_stay_finite(value):
    x = torch.stack((torch.full((7,), value), torch.arange(7.0)), dim=1)
    module = Standardize.fit(x.split(2))
    assert module.scale[0] == 1
    assert module(x)[:, 0].abs().max() <= abs(value) * 1e-6
    assert torch.isfinite(module(x + 1)).all()


def test_a_spread_too_small_for_float32_does_not_give_infinities():
    x = torch.tensor([[1e-42], [3e-42], [2e-42]])
    assert torch.isfinite(Standardize.fit(x)(x * 1e3 + 1)).all()


@given(TABLES)
def test_the_inverse_gives_the_values_back(x):
    values = torch.from_numpy(x)
    module = Standardize.fit(values)
    size = float(values.abs().max())
    torch.testing.assert_close(module.inverse(module(values)), values, rtol=1e-5, atol=1e-5 * size + 1e-12)


def test_pairs_from_a_loader_are_fitted_on_their_inputs():
    x, y = torch.randn(30, 2), torch.randn(30)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=7)
    torch.testing.assert_close(Standardize.fit(loader).mean, Standardize.fit(x).mean)


def test_centring_by_channel_and_by_pixel_subtract_what_they_say():
    x = torch.rand(20, 3, 4, 5) * 255
    by_channel, by_pixel = Center.fit(x), Center.fit(x, per="pixel")
    assert by_channel.mean.shape == (3, 1, 1)
    assert by_pixel.mean.shape == (3, 4, 5)
    torch.testing.assert_close(by_channel(x), x - x.mean((0, 2, 3))[:, None, None], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(by_pixel(x), x - x.mean(0), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(by_pixel.inverse(by_pixel(x)), x)


def test_a_shared_scale_keeps_the_relations_between_pixels():
    x = torch.rand(20, 3, 4, 5) * 255 * torch.tensor([1.0, 2.0, 0.1])[:, None, None]
    z = Center.fit(x, shared_scale=True)(x)
    assert z.std(correction=0) == pytest.approx(1, abs=1e-5)
    assert (z.std((0, 2, 3)) / x.std((0, 2, 3))).diff().abs().max() < 1e-5


def test_images_are_centred_and_tables_are_standardized():
    assert isinstance(preprocessing_for("table", torch.randn(9, 2)), Standardize)
    images = preprocessing_for("image", torch.rand(9, 1, 4, 4) * 255)
    assert isinstance(images, Center)
    assert "mean of each channel" in images.words
    assert "the mean of each feature subtracted" in Center.fit(torch.randn(9, 2)).words
    assert "the mean image subtracted" in Center.fit(torch.rand(9, 1, 4, 4), per="pixel").words


@pytest.mark.parametrize("fit", [Standardize.fit, Center.fit, lambda x: Center.fit(x, per="pixel", shared_scale=True)])
def test_statistics_are_saved_with_the_model_and_loaded_without_running_code(fit, tmp_path):
    x = torch.rand(20, 3, 4, 5) * 255
    module = fit(x)
    model = nn.Sequential(module, nn.Flatten(), nn.Linear(60, 2))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    fresh = nn.Sequential(type(module)(module.mean.shape), nn.Flatten(), nn.Linear(60, 2))
    assert not torch.equal(fresh(x), model(x))
    fresh.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(fresh(x), model(x))


def test_a_new_module_changes_nothing_and_has_nothing_to_train():
    x = torch.randn(4, 3)
    assert torch.equal(Standardize(3)(x), x)
    assert torch.equal(Center(3)(x), x)
    assert list(Standardize(3).parameters()) == []


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.tensor([[1.0, float("nan")], [float("inf"), 2.0]]), "2 of 4 values are NaN or infinite"),
        ([], "no samples"),
        (torch.zeros(0, 3), "no samples"),
        (torch.zeros(3), "shape"),
        ([torch.zeros(2, 3), torch.zeros(2, 4)], "different shapes"),
    ],
)
def test_what_has_no_statistics_is_refused_in_words(x, words):
    with pytest.raises(UserError, match=words):
        Standardize.fit(x)


def test_means_of_another_kind_are_refused():
    with pytest.raises(UserError, match="'channel' or 'pixel'"):
        Center.fit(torch.zeros(2, 1, 2, 2), per="row")
