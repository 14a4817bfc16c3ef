"""Every backend of a step gives the costs of plain PyTorch, alone and in company."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from babysit.testing.executor_contract import workload
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.vectorized.backends import ONE_BY_ONE, SHARED_INPUT, SIDE_BY_SIDE, Backend
from babysit.tuning.vectorized.eligibility import check_vectorizable
from babysit.tuning.vectorized.executor import VectorizedExecutor

EAGER = [
    Backend(strategy=SIDE_BY_SIDE, width=8),
    Backend(strategy=SIDE_BY_SIDE, width=3),
    Backend(strategy=SHARED_INPUT, width=8),
    Backend(strategy=SHARED_INPUT, width=8, matmul="medium"),
    Backend(strategy=ONE_BY_ONE, width=1),
]
COMPILED = [
    Backend(strategy=SIDE_BY_SIDE, width=8, compiled=True),
    Backend(strategy=SHARED_INPUT, width=8, compiled=True),
    Backend(strategy=ONE_BY_ONE, width=1, compiled=True),
]


def furthest(found, expected):
    """The largest relative difference between the costs of two sets of members."""
    assert found.keys() == expected.keys()
    return max(
        abs(one - other) / abs(other)
        for number in expected
        for one, other in zip(found[number].costs, expected[number].costs, strict=True)
    )


def trained(workload, members, backend, epochs=3):
    population = VectorizedExecutor(workload, backend=backend)
    found = {advance.number: advance for advance in population.advance(members, epochs=epochs)}
    assert {advance.backend for advance in found.values()} == {str(backend)}, population.notes
    population.close()
    return found


def check(backend, workload, members, plainly):
    found = trained(workload, members, backend)
    assert furthest(found, plainly) < 1e-5
    for number, advance in found.items():
        assert advance.step == plainly[number].step
        assert advance.initial_cost == pytest.approx(plainly[number].initial_cost, rel=1e-6)
        assert advance.metric == plainly[number].metric
    # The same kernels and the same width: what stands beside a member changes not one bit of it.
    alone = trained(workload, members[3:4], backend)
    assert alone[3].costs == found[3].costs


@pytest.mark.parametrize("backend", EAGER, ids=str)
def test_a_form_gives_what_plain_pytorch_gives(backend, rich_workload, rich_members, plainly):
    check(backend, rich_workload, rich_members, plainly)


@pytest.mark.slow
@pytest.mark.parametrize("backend", COMPILED, ids=str)
def test_a_compiled_form_gives_what_plain_pytorch_gives(backend, rich_workload, rich_members, plainly):
    check(backend, rich_workload, rich_members, plainly)


@pytest.mark.parametrize("way", [SHARED_INPUT, ONE_BY_ONE])
def test_bfloat16_differs_by_its_rounding_and_no_more(way, rich_workload, rich_members, plainly):
    backend = Backend(strategy=way, width=4 if way == SHARED_INPUT else 1, bf16=True)
    difference = furthest(trained(rich_workload, rich_members[:4], backend), {n: plainly[n] for n in range(4)})
    assert 1e-5 < difference < 0.05


def test_the_switches_of_the_process_are_put_back(rich_workload, rich_members):
    torch.set_float32_matmul_precision("high")
    try:
        trained(rich_workload, rich_members[:4], Backend(strategy=SHARED_INPUT, width=4, matmul="medium"), epochs=1)
        assert torch.get_float32_matmul_precision() == "high"
        assert not torch.is_autocast_enabled("cpu")
        assert torch.is_grad_enabled()
    finally:
        torch.set_float32_matmul_precision("highest")


IMAGES = Backend(strategy=ONE_BY_ONE, width=1, channels_last=True)


def convolutions(parameters):
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6, 3))


def flattening_by_view(parameters):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(144, 3)

        def forward(self, x):
            return self.out(self.conv(x).view(len(x), -1))  # refused by torch when the channels come last

    return Network()


def of_images(build):
    small = workload()
    generator = torch.Generator().manual_seed(0)
    shown = [
        replace(part, x=torch.randn(len(part), 1, 6, 6, generator=generator))
        for part in (small.train, small.validation)
    ]
    return replace(small, build=build, train=shown[0], validation=shown[1], optimizer="adam")


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_with_the_channels_last_the_costs_are_those_of_plain_pytorch(compiled):
    given = of_images(convolutions)
    members = [TrialConfig(number=number, parameters={"lr": 10.0 ** -(2 + number)}, seed=3) for number in range(2)]
    expected = {advance.number: advance for advance in SequentialExecutor(given).advance(members, epochs=2)}
    assert furthest(trained(given, members, replace(IMAGES, compiled=compiled), epochs=2), expected) < 1e-5


def test_a_network_that_needs_the_channels_first_is_trained_so():
    given = replace(of_images(flattening_by_view), steps=10)
    members = [TrialConfig(number=number, parameters={"lr": 10.0 ** -(2 + number)}, seed=3) for number in range(2)]
    expected = {advance.number: advance for advance in SequentialExecutor(given).advance(members, epochs=2)}
    found = {advance.number: advance for advance in VectorizedExecutor(given).advance(members, epochs=2)}
    assert furthest(found, expected) < 1e-5
    assert not any("channels last" in advance.backend for advance in found.values())


class Twice(nn.Module):
    """The input goes into a dense layer and past it."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.relu(self.first(x)) + x)


class Scaled(nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize(
    ("model", "direct"),
    [
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)), True),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), True),
        (lambda: nn.Sequential(Scaled(), nn.Linear(6, 3)), False),
        (Twice, False),
    ],
)
def test_whether_the_first_dense_layer_alone_reads_the_inputs_is_found_out(model, direct):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(5, 6, generator=generator), torch.tensor([0, 1, 2, 0, 1])
    assert check_vectorizable(model(), x, y, nn.functional.cross_entropy).fed_directly is direct


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("build", [None, lambda _: nn.Sequential(Scaled(), nn.Linear(6, 3))])
def test_inputs_kept_in_bfloat16_cost_no_more_than_their_rounding(compiled, build):
    given = workload()
    given = replace(given, build=build) if build is not None else given
    members = [TrialConfig(number=number, parameters={"lr": 10.0 ** -(2 + number)}, seed=3) for number in range(2)]
    expected = {advance.number: advance for advance in SequentialExecutor(given).advance(members, epochs=2)}
    backend = Backend(strategy=SHARED_INPUT, width=4, bf16=True, compiled=compiled)
    assert furthest(trained(given, members, backend, epochs=2), expected) < 0.05
    assert given.train.x.dtype is torch.float32
