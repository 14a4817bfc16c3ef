"""Data and models as the method prepares them."""

import numpy as np
import pytest
import torch
from torch import nn

from babysit.nn.preprocess import Center, Standardize
from babysit.pipeline.prepare import prepare
from babysit.records.errors import UserError


def save_table(path, names):
    random = np.random.default_rng(1)
    x = random.normal(3.0, [1.0, 10.0, 100.0], size=(90, 3))
    rows = [f"{a},{b},{c},{i % 2}" for i, (a, b, c) in enumerate(x)]
    path.write_text("\n".join([",".join([*names, "y"]), *rows]) + "\n")
    return str(path)


def test_the_features_of_a_table_each_get_their_own_scale(tmp_path):
    ready = prepare(save_table(tmp_path / "t.csv", "abc"), target="y")
    model = ready.model(0)
    assert isinstance(model.preprocessing, Standardize)
    shown = model.preprocessing(ready.splits.train.x)
    assert torch.allclose(shown.std(dim=0, correction=0), torch.ones(3), atol=1e-4)
    assert "standardized" in ready.profile.preprocessing


def test_pixels_share_one_scale(tmp_path):
    ready = prepare(save_table(tmp_path / "t.csv", ("pixel0", "pixel1", "pixel2")), target="y")
    model = ready.model(0)
    assert isinstance(model.preprocessing, Center)
    shown = model.preprocessing(ready.splits.train.x)
    assert torch.allclose(shown.mean(dim=0), torch.zeros(3), atol=1e-4)
    assert shown[:, 2].std() > 5 * shown[:, 0].std()


def test_digits_are_pixels():
    assert isinstance(prepare("digits").model(0).preprocessing, Center)


def test_preprocessing_knows_the_training_split_alone(tmp_path):
    ready = prepare(save_table(tmp_path / "t.csv", "abc"), target="y")
    mean = ready.splits.train.x.double().mean(dim=0).float()
    assert torch.allclose(ready.model(0).preprocessing.mean, mean, rtol=1e-5)


def test_images_are_built_a_convolutional_network(tmp_path):
    np.savez(tmp_path / "i.npz", x=np.random.default_rng(0).random((40, 1, 8, 8)), y=np.arange(40) % 2)
    model = prepare(str(tmp_path / "i.npz")).model(0)
    assert any(isinstance(module, nn.Conv2d) for module in model.modules())


def test_the_same_seed_builds_the_same_weights_and_leaves_the_generator_alone(tmp_path):
    ready = prepare(save_table(tmp_path / "t.csv", "abc"), target="y")
    before = torch.random.get_rng_state()
    one, two, other = ready.model(3), ready.model(3), ready.model(4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_hyperparameters_that_shape_the_model_reach_it(tmp_path):
    ready = prepare(save_table(tmp_path / "t.csv", "abc"), target="y")
    built = ready.build({"hidden": 10, "dropout": 0.5, "activation": "tanh", "batch_norm": False, "lr": 1.0})
    kinds = [type(module) for module in built.model]
    assert [layer.out_features for layer in built.model if isinstance(layer, nn.Linear)] == [10, 5, 2]
    assert nn.Tanh in kinds
    assert nn.Dropout in kinds
    assert nn.BatchNorm1d not in kinds


def test_a_model_of_the_user_keeps_its_own_weights(tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build(inputs, outputs):\n    net = nn.Linear(inputs, outputs)\n    nn.init.constant_(net.weight, 0.25)\n"
        "    return net\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    built = prepare(save_table(tmp_path / "t.csv", "abc"), target="y", model="own_net:build").model(0)
    assert torch.equal(built.model.weight, torch.full((2, 3), 0.25))


def test_a_model_that_does_not_fit_is_told_at_once(tmp_path, monkeypatch):
    (tmp_path / "wide_net.py").write_text("from torch import nn\ndef build(inputs): return nn.Linear(inputs, 7)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="7"):
        prepare(save_table(tmp_path / "t.csv", "abc"), target="y", model="wide_net:build")
