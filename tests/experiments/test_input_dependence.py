from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.input_dependence import input_dependence
from babysit.nn.builders import cnn, mlp
from babysit.records.experiment import Outcome
from babysit.records.run import Run
from babysit.rules.engine import judge


class Slice(nn.Module):
    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.stop]


def images(channels: int) -> Samples:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, channels, 8, 8, generator=generator)
    y = torch.arange(40) % 3
    from babysit.records.model_summary import Task

    return Samples(x=x, y=y, task=Task.CLASSES, kind="image", class_names=("a", "b", "c"))


def test_a_network_that_reads_everything_passes(digits: Samples) -> None:
    result = input_dependence(mlp(64, 10, dropout=0.5, batch_norm=True), digits)
    assert result.outcome is Outcome.PASS
    assert 50 < result.measured["inputs"] < 64  # some pixels of the digits never change


def test_columns_lost_by_slicing_are_named(line: Samples) -> None:
    named = replace(line, feature_names=("age", "height", "weight", "income", "rooms"))
    result = input_dependence(nn.Sequential(Slice(0, 3), nn.Linear(3, 1)), named)
    assert result.outcome is Outcome.FAIL
    assert result.measured["ignored"] == 2.0
    assert "2 of 5 inputs (income, rooms)" in result.message
    assert [finding.code for finding in judge(Run(id="x", experiments=(result,)))] == ["W710"]


def test_a_channel_lost_by_slicing_is_named() -> None:
    samples = images(3)
    model = nn.Sequential(Slice(0, 2), cnn((2, 8, 8), 3, channels=(4,)))
    result = input_dependence(model, samples)
    assert result.outcome is Outcome.FAIL
    assert "channel 2" in result.message
    assert input_dependence(cnn((3, 8, 8), 3, channels=(4,)), samples).outcome is Outcome.PASS


def test_a_stride_too_many_loses_pixels() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1, stride=2), nn.Flatten(), nn.Linear(64, 3))
    result = input_dependence(model, images(3))
    assert result.outcome is Outcome.WARN
    assert result.measured["pixels_lost"] == 0.75


def test_an_output_that_is_always_the_same_fails(line: Samples) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answer = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return self.answer.expand(len(x), 1)

    result = input_dependence(Constant(), line)
    assert result.outcome is Outcome.FAIL
    assert "does not depend on the input: check" in result.message


def test_a_last_layer_of_zeros_is_not_blamed(line: Samples) -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    nn.init.zeros_(model[2].weight)
    result = input_dependence(model, line)
    assert result.outcome is Outcome.PASS
    assert "initialized to zero" in result.message


def test_embedded_numbers_have_no_gradient_and_still_count() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(7, 3), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.table(x[:, :3].long()).flatten(1))

    samples = images(1)
    words = torch.randint(7, (40, 4), generator=torch.Generator().manual_seed(1)).float()
    result = input_dependence(Words(), replace(samples, x=words, kind="table"))
    assert result.outcome is Outcome.FAIL
    assert "1 of 4 inputs (feature 3)" in result.message


def test_outputs_that_sum_to_one_are_seen_through(digits: Samples) -> None:
    assert input_dependence(nn.Sequential(mlp(64, 10), nn.Softmax(dim=1)), digits).outcome is Outcome.PASS
