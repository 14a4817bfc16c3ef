from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.determinism import determinism
from babysit.nn.builders import mlp
from babysit.records.experiment import Outcome


class Noisy(nn.Linear):
    """Draws from a generator that no seed reaches."""

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=GENERATOR) if self.training else 0.0
        return super().forward(x + noise)


GENERATOR = torch.Generator().manual_seed(0)


class AlwaysDropping(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x))  # training=True is the default


def test_dropout_draws_the_same_for_the_same_seed(digits: Samples) -> None:
    result = determinism(mlp(64, 10, dropout=0.5, batch_norm=True), digits)
    assert result.outcome is Outcome.PASS
    assert result.measured == {"gradient": 0.0, "answer": 0.0}


def test_a_generator_of_its_own_is_a_warning(digits: Samples) -> None:
    result = determinism(Noisy(64, 10), digits)
    assert result.outcome is Outcome.WARN
    assert result.measured["gradient"] > 0.01
    assert result.measured["answer"] == 0.0


def test_functional_dropout_that_never_stops_is_a_warning(digits: Samples) -> None:
    result = determinism(AlwaysDropping(64, 10), digits)
    assert result.outcome is Outcome.WARN
    assert "training=self.training" in result.message
