from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.symmetric_units import equal_shares, symmetric_units
from babysit.nn.builders import mlp
from babysit.nn.initialize import initialize_
from babysit.records.experiment import Outcome


@pytest.mark.parametrize("scheme", ["zeros", "constant"])
def test_units_that_begin_equal_and_stay_so_fail(digits: Samples, scheme: str) -> None:
    result = symmetric_units(initialize_(mlp(64, 10), scheme), digits)
    assert result.outcome is Outcome.FAIL
    assert result.measured["equal"] == 1.0
    assert "duplicate units: after" in result.message


def test_random_weights_pass(digits: Samples) -> None:
    result = symmetric_units(mlp(64, 10), digits)
    assert result.outcome is Outcome.PASS
    assert result.measured["equal_before"] == 0.0


def test_a_last_layer_of_zeros_parts_and_passes(digits: Samples) -> None:
    model = mlp(64, 10)
    nn.init.zeros_(model[-1].weight)
    result = symmetric_units(model, digits)
    assert result.outcome is Outcome.PASS
    assert result.measured["equal_before"] == 1.0
    assert "differ within 5 steps" in result.message


def test_frozen_weights_and_embeddings_are_left_out() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3).requires_grad_(False), nn.ConvTranspose2d(2, 6, 3))
    nn.init.zeros_(model[0].weight)
    assert list(equal_shares(model)) == ["2"]


def test_a_matrix_of_the_users_own_is_looked_at_both_ways(digits: Samples) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.rand(64, 1).expand(64, 32).clone())  # equal columns
            self.out = nn.Parameter(torch.full((32, 10), 0.1))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ self.matrix).relu() @ self.out

    result = symmetric_units(Own(), digits)
    assert result.outcome is Outcome.FAIL
    assert "matrix" in result.message
