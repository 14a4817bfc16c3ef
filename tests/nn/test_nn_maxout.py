"""Maxout against its definition."""

import pytest
import torch

from babysit.nn.maxout import Maxout, maxout_conv2d, maxout_linear
from babysit.records.errors import UserError


@pytest.mark.parametrize("pieces", [2, 3])
def test_a_dense_maxout_is_the_largest_of_its_linear_maps(pieces):
    layer = maxout_linear(5, 4, pieces=pieces).double()
    x = torch.randn(7, 5).double()
    weight = layer[0].weight.reshape(4, pieces, 5)
    bias = layer[0].bias.reshape(4, pieces)
    maps = [x @ weight[:, piece].T + bias[:, piece] for piece in range(pieces)]
    torch.testing.assert_close(layer(x), torch.stack(maps).amax(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_a_convolutional_maxout_is_the_largest_of_its_convolutions(pieces):
    layer = maxout_conv2d(2, 3, 3, pieces=pieces, padding=1).double()
    x = torch.randn(4, 2, 6, 6).double()
    maps = [
        torch.nn.functional.conv2d(x, layer[0].weight[piece::pieces], layer[0].bias[piece::pieces], padding=1)
        for piece in range(pieces)
    ]
    torch.testing.assert_close(layer(x), torch.stack(maps).amax(0), rtol=1e-12, atol=1e-12)


def test_only_the_largest_map_gets_a_gradient():
    x = torch.tensor([[1.0, 3.0, 2.0, -1.0]], requires_grad=True)
    Maxout(2)(x).sum().backward()
    assert x.grad.tolist() == [[0, 1, 1, 0]]


def test_the_last_axis_can_be_grouped_instead():
    assert Maxout(2, dim=-1)(torch.zeros(2, 5, 6)).shape == (2, 5, 3)


def test_sizes_that_do_not_fit_are_refused_in_words():
    with pytest.raises(UserError, match="5 features cannot be grouped into 2"):
        Maxout(2)(torch.zeros(1, 5))
    with pytest.raises(UserError, match="at least 2"):
        Maxout(1)
