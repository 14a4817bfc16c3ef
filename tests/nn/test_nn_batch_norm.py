"""BatchNorm in its place, and doing what its definition says."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.nn.batch_norm import insert_batch_norm
from babysit.nn.builders import cnn, mlp
from babysit.records.errors import UserError


def _kinds(model):
    return [type(module).__name__ for module in model]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_in_a_sequential_it_stands_between_layer_and_activation():
    model = insert_batch_norm(mlp(5, 3, hidden=(8, 4), dropout=0.1), x=torch.randn(6, 5))
    hidden = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert _kinds(model) == [*hidden, *hidden, "Linear"]
    assert [name for name, _ in model.named_children()] == [str(place) for place in range(9)]
    assert model[0].bias is None
    assert model[8].bias is not None
    assert _kinds(insert_batch_norm(cnn((1, 8, 8), 3)))[:4] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]


def test_the_model_that_was_given_stays_as_it_was():
    model = mlp(5, 3)
    before = copy.deepcopy(model.state_dict())
    insert_batch_norm(model)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_what_comes_out_is_the_definition_in_float64(kind):
    """Per feature over the batch for dense layers, per channel over batch and space for convolutions."""
    x = torch.randn(50, 6) * 3 + 2 if kind == "dense" else torch.randn(20, 2, 5, 7) * 3 + 2
    plain = mlp(6, 3, hidden=(8,)) if kind == "dense" else cnn((2, 5, 7), 3, channels=(8,))
    model = insert_batch_norm(plain.double()).train()
    gamma, beta = torch.rand(8).double() + 0.5, torch.randn(8).double()
    with torch.no_grad():
        model[1].weight.copy_(gamma)
        model[1].bias.copy_(beta)
    z = plain[0](x.double()).detach().numpy()  # with its bias, which the normalization takes out
    axes, shape = ((0,), (1, 8)) if kind == "dense" else ((0, 2, 3), (1, 8, 1, 1))
    normal = (z - z.mean(axes, keepdims=True)) / np.sqrt(z.var(axes, keepdims=True) + 1e-5)
    expected = gamma.numpy().reshape(shape) * normal + beta.numpy().reshape(shape)
    np.testing.assert_allclose(model[1](model[0](x.double())).detach(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_the_identity_can_be_recovered_through_scale_and_shift(kind):
    x = torch.randn(400, 6).double() if kind == "dense" else torch.randn(50, 2, 5, 7).double() * 3 + 1
    plain = (mlp(6, 3, hidden=(8,)) if kind == "dense" else cnn((2, 5, 7), 3, channels=(8,))).double()
    model = insert_batch_norm(plain).train()
    z = plain[0](x).detach()
    axes = (0,) if kind == "dense" else (0, 2, 3)
    assert not torch.allclose(model(x), plain(x), rtol=0.1)  # it does change something before
    with torch.no_grad():
        model[1].weight.copy_((z.var(axes, correction=0) + 1e-5).sqrt())
        model[1].bias.copy_(z.mean(axes))
    torch.testing.assert_close(model(x), plain(x), rtol=1e-9, atol=1e-9)


class _Residual(nn.Module):
    """Functional activations, a skip connection, layers registered in another order, one that is normalized."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 4)
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.done = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = F.relu(self.second(x) + x)
        x = torch.tanh(self.norm(self.done(x)))
        return self.head(self.linear(F.dropout(x, 0.5, self.training).mean((2, 3))))


def test_in_other_models_the_layer_and_its_norm_keep_the_name_of_the_layer():
    model = insert_batch_norm(_Residual(), x=torch.randn(4, 1, 6, 6))
    assert isinstance(model, _Residual)
    assert [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)] == [
        "first.norm",
        "second.norm",
    ]
    x = torch.randn(4, 1, 6, 6)
    assert torch.equal(model.eval()(x), model(x))  # evaluation is not frozen into training by the trace
    model.train()(x).sum().backward()
    assert model.first.norm.weight.grad is not None


class _Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)

    def forward(self, x):
        return self.last(self.act(self.first(x)) if x.sum() > -1e9 else x)


def test_a_model_that_cannot_be_traced_is_handled_by_order_and_that_is_logged(caplog):
    model = insert_batch_norm(_Branching())
    assert "_Branching cannot be traced" in caplog.text
    assert isinstance(model.first.norm, nn.BatchNorm1d)
    assert isinstance(model.last, nn.Linear)
    assert model(torch.randn(5, 4)).shape == (5, 2)


class _Backwards(nn.Module):
    """Branches on values, and registers what runs last first."""

    def __init__(self):
        super().__init__()
        self.last, self.second, self.first = nn.Linear(6, 2), nn.Linear(6, 6), nn.Linear(4, 6)
        self.done, self.normal = nn.Linear(6, 6), nn.LayerNorm(6)

    def forward(self, x):
        x = F.relu(self.first(x)) if x.sum() > -1e9 else x
        return self.last(torch.tanh(self.normal(self.done(self.second(x).relu()))))


def test_a_model_that_cannot_be_traced_is_run_on_the_batch_that_is_given(recwarn):
    model = insert_batch_norm(_Backwards(), x=torch.randn(5, 4))
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm1d)]
    assert sorted(norms) == ["first.norm", "second.norm"]
    assert not recwarn.list


def test_a_model_that_has_its_norms_already_needs_nothing():
    for model in (mlp(4, 2, batch_norm=True), nn.Linear(3, 2)):
        with pytest.raises(UserError, match="not already normalized"):
            insert_batch_norm(model)
    twice = insert_batch_norm(mlp(4, 2))
    with pytest.raises(UserError, match="not already normalized"):
        insert_batch_norm(twice)


def test_dense_layers_over_sequences_are_told_when_a_batch_is_given():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with pytest.raises(UserError, match=r"fails on inputs of the shape \(3, 5, 4\).*LayerNorm"):
        insert_batch_norm(model, x=torch.randn(3, 5, 4))


def test_the_trained_model_keeps_its_precision_and_nested_parts_are_reached():
    model = nn.Sequential(
        nn.Sequential(nn.Linear(3, 4), nn.ELU()), nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 1)
    )
    result = insert_batch_norm(model.double())
    assert [_kinds(part)[1] for part in result[:2]] == ["BatchNorm1d", "BatchNorm1d"]
    assert result[0][1].running_mean.dtype == torch.float64


def test_a_layer_without_weights_yet_is_refused():
    with pytest.raises(UserError, match="not initialized yet"):
        insert_batch_norm(nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2)))
