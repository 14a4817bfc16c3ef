"""Layer-sequential unit variance: weights scaled by real data."""

import pytest
import torch
from torch import nn

from babysit.nn.builders import cnn, mlp
from babysit.nn.initialize import initialize_
from babysit.records.errors import UserError


def _spreads(model, x):
    seen = {}

    def note(name):
        def hook(module, inputs, output):
            seen.setdefault(name, float(output.detach().double().std(correction=0)))

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(note(name))
    model.eval()(x)
    return list(seen.values())


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "maxout"])
def test_every_layer_gives_deviation_1_on_the_data_and_the_last_one_a_third(activation):
    torch.manual_seed(0)
    x = torch.randn(256, 20) * 7 + 3
    model = initialize_(mlp(20, 5, hidden=(50,) * 6, activation=activation), "lsuv", x=x)
    assert _spreads(model, x) == pytest.approx([1.0] * 6 + [0.3], rel=0.02)


def test_convolutions_are_scaled_too():
    torch.manual_seed(0)
    x = torch.rand(64, 3, 16, 16)
    model = initialize_(cnn((3, 16, 16), 4), "lsuv", x=x)
    assert _spreads(model, x) == pytest.approx([1.0, 1.0, 0.3], rel=0.02)


def test_nothing_but_weights_is_changed():
    torch.manual_seed(0)
    model = mlp(6, 2, batch_norm=True, dropout=0.5)
    model[0].requires_grad_(False)
    frozen, buffers = model[0].weight.clone(), [value.clone() for value in model.buffers()]
    modes = [module.training for module in model.modules()]
    x = torch.randn(30, 6)
    initialize_(model, "lsuv", x=x, generator=torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    initialize_(model, "lsuv", x=x, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[0].weight, frozen)
    assert all(torch.equal(value, before) for value, before in zip(model.buffers(), buffers, strict=True))
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())


def test_a_dead_layer_is_left_as_it_is():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    initialize_(model, "lsuv", x=torch.zeros(5, 3))
    assert torch.isfinite(model[0].weight).all()


@pytest.mark.parametrize(
    ("scheme", "x", "words"),
    [
        ("lsuv", None, "by real data"),
        ("lsuv", torch.zeros(2, 7), "fails on inputs of the shape"),
    ],
)
def test_data_that_are_missing_or_do_not_fit_are_told(scheme, x, words):
    with pytest.raises(UserError, match=words):
        initialize_(mlp(3, 2), scheme, x=x)


@pytest.mark.parametrize("init", ["he", "xavier_two_sided", "zeros"])
def test_builders_take_a_scheme(init):
    torch.manual_seed(0)
    built = mlp(30, 2, init=init)
    torch.manual_seed(0)
    later = initialize_(mlp(30, 2), init)
    assert bool(built[0].weight.any()) == (init != "zeros")
    assert float(built[0].weight.detach().std()) == pytest.approx(
        float(later[0].weight.detach().std()), rel=0.1, abs=1e-9
    )
