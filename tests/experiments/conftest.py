from __future__ import annotations

import pytest
import torch

from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.records.model_summary import Task


@pytest.fixture(scope="session")
def digits() -> Samples:
    return split(load_data("digits")).train


@pytest.fixture(scope="session")
def line() -> Samples:
    """A regression that a linear model can solve up to a little noise, inputs and target standardized."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, generator=generator)
    y = x @ torch.tensor([[1.0], [-1.0], [0.5], [0.0], [2.0]]) + 0.1 * torch.randn(300, 1, generator=generator)
    return Samples(x=x, y=(y - y.mean()) / y.std(), task=Task.REGRESSION, kind="table")
