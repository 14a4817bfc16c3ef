"""The two builders, with every activation."""

import pytest
import torch
from torch import nn

from babysit.nn.activations import ACTIVATIONS
from babysit.nn.builders import cnn, mlp
from babysit.records.errors import UserError


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_activation_makes_a_network_that_learns_a_step(activation, batch_norm):
    torch.manual_seed(0)
    options = {"activation": activation, "batch_norm": batch_norm, "dropout": 0.1}
    x, y = torch.randn(32, 1, 8, 8), torch.arange(32) % 3
    for model in (mlp((1, 8, 8), 3, **options), cnn((1, 8, 8), 3, **options)):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            assert all(parameter.grad is not None for parameter in model.parameters())
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]


def test_layers_come_in_the_order_the_lecture_teaches():
    kinds = [type(layer).__name__ for layer in mlp(4, 2, hidden=(8,), batch_norm=True, dropout=0.5)]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]
    kinds = [type(layer).__name__ for layer in cnn((1, 8, 8), 2, channels=(4,), batch_norm=True, dropout=0.5)]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Flatten", "Dropout", "Linear"]


def test_a_maxout_layer_has_twice_the_parameters_and_the_same_width_after_it():
    plain, wide = mlp(4, 2, hidden=(8,)), mlp(4, 2, hidden=(8,), activation="maxout")
    assert wide[0].out_features == 2 * plain[0].out_features
    assert wide[2].in_features == plain[2].in_features


def test_an_mlp_without_hidden_layers_is_one_linear_map():
    assert [type(layer).__name__ for layer in mlp(4, 2, hidden=())] == ["Linear"]


def test_tiny_images_are_not_pooled_away():
    assert cnn((3, 1, 5), 2, channels=(4, 4, 4))(torch.zeros(2, 3, 1, 5)).shape == (2, 2)
    assert cnn((1, 9, 9), 2, channels=(4,) * 6)(torch.zeros(2, 1, 9, 9)).shape == (2, 2)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "maxout", "tanh"])
def test_a_built_network_starts_undecided_with_a_loss_of_ln_10_and_keeps_the_signal_alive(activation):
    torch.manual_seed(0)
    model, x, y = mlp(64, 10, hidden=(256,) * 5, activation=activation), torch.randn(1000, 64), torch.arange(1000) % 10
    with torch.no_grad():
        assert nn.functional.cross_entropy(model(x), y).item() == pytest.approx(2.303, abs=0.1)
        assert 0.25 < float(model[:-1](x).square().mean().sqrt()) < 2


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: mlp(4, 2, activation="rellu"), "Did you mean 'relu'"),
        (lambda: mlp(4, 2, activation="Leaky-ReLU"), "Did you mean 'leaky_relu'"),
        (lambda: mlp(4, 0), "outputs is 0"),
        (lambda: mlp(4, 2, hidden=(8, -1)), "hidden is 8, -1"),
        (lambda: mlp(4, 2, dropout=1.0), "dropout is 1.0"),
        (lambda: cnn((64,), 2), "images, not samples of the shape"),
        (lambda: cnn((1, 0, 4), 2), "input_shape is 1, 0, 4"),
    ],
)
def test_settings_that_make_no_network_are_refused_in_words(build, words):
    with pytest.raises(UserError) as error:
        build()
    assert words in str(error.value)
