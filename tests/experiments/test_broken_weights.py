"""Weights that are broken before any training are named, whatever else would be measured."""

import pytest
import torch

import babysit
from babysit.records.errors import UserError


def test_weights_of_nan_are_named_before_any_experiment():
    model = babysit.mlp(64, 10)
    with torch.no_grad():
        next(model.parameters())[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"weights hold NaN or infinite values before any training: \S+weight"):
        babysit.check(model, babysit.load_data("digits"))
