from __future__ import annotations

import pytest
import torch

from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import Splits, split
from babysit.records.model_summary import Task


@pytest.fixture(scope="session")
def digits() -> Splits:
    return split(load_data("digits"))


@pytest.fixture(scope="session")
def few() -> Splits:
    """300 of the digits: an epoch takes a few milliseconds."""
    return split(load_data("digits").take(range(300)))


@pytest.fixture(scope="session")
def line() -> Splits:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=generator)
    y = x @ torch.tensor([[1.0], [-1.0], [0.5], [2.0]]) + 0.1 * torch.randn(300, 1, generator=generator)
    return split(Samples(x=x, y=y, task=Task.REGRESSION, kind="table"))
