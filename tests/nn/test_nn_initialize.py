"""Initial weights: their spread, what decides it, and what is left alone."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.nn.activation_lookup import WEIGHTED, _from_trace, _Tracer, following_activations
from babysit.nn.builders import mlp
from babysit.nn.graph_recorder import run_graph
from babysit.nn.initialize import SCHEMES, initialize_
from babysit.nn.maxout import Maxout
from babysit.records.errors import UserError


def _spread(layer):
    return float(layer.weight.detach().double().std(correction=0))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("activation", "gain"),
    [
        (nn.ReLU(), math.sqrt(2)),
        (nn.LeakyReLU(0.5), math.sqrt(2 / 1.25)),
        (nn.PReLU(init=0.25), math.sqrt(2 / 1.0625)),
        (nn.Tanh(), 1),
        (nn.Sigmoid(), 1),
        (nn.Identity(), 1),
        (Maxout(2), 1),
    ],
)
def test_auto_follows_the_activation_after_each_layer(activation, gain):
    model = nn.Sequential(nn.Linear(400, 300), nn.BatchNorm1d(300), activation, nn.LazyLinear(300), nn.ReLU())
    model(torch.zeros(2, 400))
    initialize_(model)
    assert _spread(model[0]) == pytest.approx(gain / math.sqrt(400), rel=0.02)
    assert _spread(model[3]) == pytest.approx(0.3 / math.sqrt(model[3].in_features), rel=0.02)  # the output layer


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("he", math.sqrt(2 / 400)),
        ("xavier", math.sqrt(1 / 400)),
        ("xavier_two_sided", math.sqrt(2 / 500)),
        ("small", 0.01),
        ("large", 1.0),
        ("constant", 0.0),
        ("zeros", 0.0),
    ],
)
def test_each_scheme_has_its_spread_and_zero_biases(scheme, expected):
    model = initialize_(nn.Sequential(nn.Linear(400, 100), nn.Tanh(), nn.Linear(100, 10)), scheme)
    assert _spread(model[0]) == pytest.approx(expected, rel=0.03, abs=1e-12)
    assert not model[0].bias.any()
    assert bool(model[0].weight.any()) == (scheme != "zeros")


def test_orthogonal_weights_keep_the_length_of_vectors_times_the_gain():
    model = initialize_(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)), "orthogonal")
    identity = torch.eye(64)
    torch.testing.assert_close(model[0].weight @ model[0].weight.T, 2 * identity, atol=1e-4, rtol=0)
    torch.testing.assert_close(model[2].weight @ model[2].weight.T, 0.09 * identity, atol=1e-4, rtol=0)


def test_the_fan_in_of_convolutions_counts_what_reaches_one_output():
    model = nn.Sequential(nn.Conv2d(32, 64, 3, groups=4), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, stride=2), nn.ReLU())
    initialize_(model, "xavier")
    assert _spread(model[0]) == pytest.approx(1 / math.sqrt(8 * 9), rel=0.03)
    assert _spread(model[2]) == pytest.approx(1 / math.sqrt(64 * 16 / 4), rel=0.03)
    x = torch.randn(8, 64, 20, 20)
    assert float(model[2](x)[:, :, 4:-4, 4:-4].detach().std()) == pytest.approx(1, rel=0.05)


def test_the_experiment_of_the_lecture_comes_out_as_it_says():
    x = torch.randn(500, 500)

    def last(scheme, activation):
        hidden = initialize_(mlp(500, 10, hidden=(500,) * 10, activation=activation), scheme)[:-1](x)
        return hidden.detach()

    assert float(last("small", "tanh").std()) < 1e-5  # collapsed to zero
    assert float((last("large", "tanh").abs() > 0.99).double().mean()) > 0.8  # saturated
    assert 0.1 < float(last("xavier", "tanh").std()) < 0.5  # alive
    assert float(last("xavier", "relu").std()) < 0.05  # halved in every layer
    assert 0.5 < float(last("he", "relu").std()) < 1.5
    assert 0.5 < float(last("auto", "relu").std()) < 1.5


class _Functional(nn.Module):
    """Uses functions, one activation module twice, a skip connection, and registers layers in another order."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(32, 4)
        self.act = nn.LeakyReLU(0.2)
        self.first = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Linear(8, 32)
        self.gate = nn.Linear(8, 32)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, x):
        x = self.act(self.norm(self.first(x)))
        x = F.relu(self.second(x) + x)
        x = x.mean((2, 3))
        return self.head(torch.tanh(self.third(x)) * torch.sigmoid(self.gate(x)))


def test_what_follows_is_seen_through_functions_norms_and_skip_connections():
    found = following_activations(_Functional())
    assert {name: one.activation for name, one in found.items() if name != "frozen"} == {
        "first": "leaky_relu",
        "second": "relu",
        "third": "tanh",
        "gate": "sigmoid",
        "head": "",
    }
    assert [name for name, one in found.items() if one.is_output and name != "frozen"] == ["head"]


class _Branching(nn.Module):
    """Cannot be traced: the way depends on values."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(400, 300), nn.Dropout(), nn.ReLU(), nn.Linear(300, 300), nn.Tanh())
        self.head = nn.Linear(300, 10)

    def forward(self, x):
        return self.head(self.body(x)) if x.sum() > 0 else self.head(x)


def test_a_model_that_cannot_be_traced_is_judged_by_the_order_of_registration():
    found = following_activations(_Branching())
    assert [(one.activation, one.is_output) for one in found.values()] == [
        ("relu", False),
        ("tanh", False),
        ("", True),
    ]


class _Shuffled(nn.Module):
    """Cannot be traced, registers its layers in another order than they run, and calls functions and methods."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(300, 10)
        self.second = nn.Linear(300, 300)
        self.norm = nn.BatchNorm1d(300)
        self.first = nn.Linear(400, 300)
        self.register_buffer("calls", torch.zeros(()))
        self.seen = None

    def forward(self, x):
        self.calls += 1
        self.seen = x
        z = self.norm(self.first(x))
        z = F.leaky_relu(z, 0.01, inplace=True) if z.sum() > -1e9 else z
        return self.head(torch.dropout(self.second(z) + z, 0.5, self.training).clamp(min=0))


def test_a_model_that_cannot_be_traced_is_read_as_it_runs_on_a_batch_and_stays_as_it_was():
    model = _Shuffled()
    before, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    found = following_activations(model, torch.randn(8, 400))
    torch.set_rng_state(random)
    assert {name: (one.activation, one.is_output) for name, one in found.items()} == {
        "head": ("", True),
        "second": ("relu", False),
        "first": ("leaky_relu", False),
    }
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.seen is None
    assert all(module.training and not module._forward_hooks for module in model.modules())
    initialize_(model, x=torch.randn(8, 400))
    assert _spread(model.first) == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert _spread(model.second) == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    assert _spread(model.head) == pytest.approx(0.3 / math.sqrt(300), rel=0.05)
    with pytest.raises(UserError, match=r"fails on inputs of the shape \(8, 3\)"):
        initialize_(model, x=torch.randn(8, 3))


def test_a_trace_and_a_run_see_the_same():
    for model, x in ((_Functional(), torch.randn(4, 1, 8, 8)), (mlp(6, 2, activation="maxout"), torch.randn(4, 6))):
        run = run_graph(model, x, is_leaf=_Tracer().is_leaf_module)
        layers = {name for name, module in model.named_modules() if isinstance(module, WEIGHTED)}
        assert {name: (one.activation, one.is_output) for name, one in _from_trace(model, run, layers).items()} == {
            name: (one.activation, one.is_output)
            for name, one in following_activations(model).items()
            if name != "frozen"
        }


def test_activations_that_are_told_win_over_what_is_seen():
    model = initialize_(_Branching(), activations={"body.3": "ReLU", "body.0": "tanh"})
    assert _spread(model.body[0]) == pytest.approx(1 / math.sqrt(400), rel=0.02)
    assert _spread(model.body[3]) == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    with pytest.raises(UserError, match=r"no dense or convolutional layer 'body\.9'"):
        initialize_(model, activations={"body.9": "relu"})


def test_the_relu_bias_goes_to_layers_before_a_relu_and_not_to_the_last():
    model = initialize_(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)), relu_bias=0.01
    )
    assert [layer.bias.unique().tolist() for layer in (model[0], model[2], model[4])] == [
        [pytest.approx(0.01)],
        [0],
        [0],
    ]


def test_norms_embeddings_recurrent_and_frozen_layers_are_left_alone():
    model = nn.ModuleDict(
        {
            "norm": nn.BatchNorm1d(4),
            "embedding": nn.Embedding(5, 4),
            "recurrent": nn.GRU(4, 4),
            "frozen": nn.Linear(4, 4).requires_grad_(False),
            "dense": nn.Linear(4, 4),
        }
    )
    nn.init.constant_(model["norm"].weight, 0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initialize_(model, "zeros")
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"dense.weight", "dense.bias"}


def test_a_weight_normalized_layer_takes_its_values_too():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(400, 100))
    initialize_(nn.Sequential(layer, nn.ReLU(), nn.Linear(100, 2)))
    assert _spread(layer) == pytest.approx(math.sqrt(2 / 400), rel=0.03)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_seed_gives_the_same_weights(scheme):
    def weights(seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(20, 6, generator=generator) if scheme == "lsuv" else None
        return initialize_(mlp(6, 2), scheme, x=x, generator=generator).state_dict()

    first, again = weights(1), weights(1)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_looking_at_what_follows_leaves_the_random_state_alone():
    model = _Functional()
    before = torch.get_rng_state()
    following_activations(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_scheme_and_a_lazy_layer_are_refused_in_words():
    with pytest.raises(UserError, match="Available: auto, he"):
        initialize_(mlp(3, 2), "glorious")
    with pytest.raises(UserError, match="not initialized yet"):
        initialize_(nn.Sequential(nn.LazyLinear(3)))
