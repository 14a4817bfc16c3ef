"""Whitening against its definition in float64, however the data are cut into batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from babysit.nn.covariance import covariance
from babysit.nn.whiten import Whiten
from babysit.records.errors import UserError


def _mixed(rows=2000, columns=6, seed=0):
    """Correlated features of very different size around large means."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(columns, columns)) * np.logspace(-1, 1.5, columns)
    return torch.from_numpy((generator.normal(size=(rows, columns)) @ mixing + 100).astype("float32"))


def _covariance(x):
    return np.cov(x.detach().double().flatten(1).numpy().T, bias=True)


def _cut(x, sizes):
    start = batch = 0
    while start < len(x):
        yield x[start : start + sizes[batch % len(sizes)]]
        start, batch = start + sizes[batch % len(sizes)], batch + 1


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_whitened_features_have_the_identity_as_covariance(method):
    x = _mixed()
    z = Whiten.fit(_cut(x, [300, 7]), method=method)(x)
    assert np.abs(_covariance(z) - np.eye(6)).max() < 1e-3
    assert z.double().mean(0).abs().max() < 1e-3


def test_images_are_whitened_pixel_by_pixel_and_keep_their_shape_with_zca():
    generator = np.random.default_rng(0)
    smooth = generator.normal(size=(3000, 1, 4, 5)).cumsum(3) + generator.normal(size=(3000, 1, 1, 1))
    x = torch.from_numpy(smooth.astype("float32"))
    z = Whiten.fit(x, method="zca")(x)
    assert z.shape == x.shape
    assert np.abs(_covariance(z) - np.eye(20)).max() < 1e-3
    assert Whiten.fit(x)(x).shape == (3000, 20)


def test_zca_is_the_inverse_square_root_of_the_covariance():
    x = _mixed()
    values, vectors = np.linalg.eigh(_covariance(x))
    expected = vectors @ np.diag(values**-0.5) @ vectors.T
    np.testing.assert_allclose(Whiten.fit(x, method="zca").forward_map, expected, rtol=1e-4, atol=1e-6)


def test_rotation_alone_gives_principal_components_with_the_variances_of_numpy():
    x = _mixed()
    z = Whiten.fit(x, method="rotate", components=3)(x)
    expected = np.linalg.eigvalsh(_covariance(x))[::-1][:3]
    np.testing.assert_allclose(np.diag(_covariance(z)), expected, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_any_cutting_into_batches_gives_the_covariance_of_the_whole(sizes):
    x = _mixed(rows=101)
    found = covariance(_cut(x, sizes))
    assert found.count == 101
    np.testing.assert_allclose(found.mean, x.double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.matrix, _covariance(x), rtol=1e-6, atol=1e-6 * np.abs(_covariance(x)).max())


def test_components_are_kept_until_they_explain_the_share_that_is_asked_for():
    x = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([10.0, 3.0, 1.0, 0.1])
    assert Whiten.fit(x, components=0.85)(x).shape[1] == 1
    assert Whiten.fit(x, components=0.95)(x).shape[1] == 2
    assert Whiten.fit(x, components=0.99999)(x).shape[1] == 4
    assert Whiten.fit(x, components=3).get_buffer("explained") == pytest.approx(110 / 110.01, rel=1e-3)


def test_the_inverse_gives_the_values_back():
    x = _mixed().reshape(-1, 2, 3)
    for method in ("pca", "zca", "rotate"):
        module = Whiten.fit(x, method=method)
        torch.testing.assert_close(module.inverse(module(x)), x, rtol=1e-4, atol=1e-3)


def test_directions_without_variance_are_dropped_rather_than_blown_up():
    x = _mixed(columns=3)
    x = torch.cat((x, x[:, :1], torch.full((len(x), 1), 7.0)), dim=1)
    module = Whiten.fit(x)
    assert module(x).shape[1] == 3
    assert module(x).abs().max() < 20
    assert torch.isfinite(Whiten.fit(x, method="zca")(x + 1)).all()


def test_epsilon_damps_what_has_little_variance():
    x = torch.randn(5000, 2) * torch.tensor([1.0, 1e-3])
    spread = Whiten.fit(x, epsilon=0.01)(x).std(0)
    assert spread[0] == pytest.approx(1, abs=0.02)
    assert spread[1] < 0.1


def test_whitening_is_saved_with_the_model_and_loaded_without_running_code(tmp_path):
    x = _mixed()
    model = nn.Sequential(Whiten.fit(x, components=4), nn.Linear(4, 2))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    fresh = nn.Sequential(Whiten(6, components=4), nn.Linear(4, 2))
    fresh.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(fresh(x), model(x))
    assert "4 whitened principal components" in model[0].words


def test_one_that_is_made_from_a_shape_changes_nothing():
    x = torch.randn(5, 2, 3)
    assert torch.equal(Whiten((2, 3), method="zca")(x), x)
    assert torch.equal(Whiten((2, 3))(x), x.flatten(1))


def test_pairs_from_a_loader_are_fitted_on_their_inputs():
    x = _mixed()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(len(x))), batch_size=64)
    torch.testing.assert_close(Whiten.fit(loader).forward_map, Whiten.fit(x).forward_map)


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (torch.ones(5, 3), {}, "all 5 samples are the same"),
        ([], {}, "no samples"),
        (torch.tensor([[1.0], [float("nan")]]), {}, "1 of 2 values are NaN"),
        (torch.randn(5, 3), {"method": "svd"}, "no whitening 'svd'"),
        (torch.randn(5, 3), {"components": 0}, "0 components"),
        (torch.randn(5, 3), {"components": 1.5}, r"1.5 components"),
        (torch.randn(5, 3), {"epsilon": -1.0}, "epsilon is -1"),
        (torch.zeros(2, 20_000), {}, "20000 features would need 3 GB"),
        ([torch.randn(4, 3), torch.randn(4, 2)], {}, "different shapes"),
    ],
)
def test_what_cannot_be_whitened_is_refused_in_words(x, options, words):
    with pytest.raises(UserError, match=words):
        Whiten.fit(x, **options)
