"""Members die, are packed closer, stop in the middle and go on, and the search hears of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from babysit.testing.executor_contract import workload
from babysit.tuning.early_termination import EXPLODED
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.vectorized import calibrate, chunk, group
from babysit.tuning.vectorized.backends import ONE_BY_ONE, SIDE_BY_SIDE, Backend
from babysit.tuning.vectorized.executor import VectorizedExecutor

BACKEND = Backend(strategy=SIDE_BY_SIDE, width=4)


def dense(_):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def at_lrs(*lrs, **words):
    return [
        TrialConfig(number=number, parameters={"lr": lr, "optimizer": "sgd", **words}, seed=3)
        for number, lr in enumerate(lrs)
    ]


def by_number(executor, members, epochs):
    return {advance.number: advance for advance in executor.advance(members, epochs=epochs)}


@pytest.fixture
def given():
    return replace(workload(), build=dense)


def test_each_member_dies_at_the_very_step_at_which_it_would_die_alone(given):
    members = at_lrs(0.01, 1e6, 3.0, 30.0, 0.1, 1e12, 10.0, 1e-4)
    found = by_number(VectorizedExecutor(given, backend=BACKEND), members, 3)
    expected = by_number(SequentialExecutor(given), members, 3)
    died = [number for number, advance in expected.items() if advance.stopped]
    assert 2 <= len(died) <= 6
    for number, advance in expected.items():
        assert found[number].stopped == advance.stopped
        assert found[number].step == advance.step
        assert len(found[number].costs) == len(advance.costs)
        assert found[number].metric == advance.metric


def test_costs_of_the_epoch_before_are_judged_with_those_of_this_one(given):
    """Epochs of three batches, so that five judged costs always reach back into another epoch."""
    few = replace(given, train=given.train.take(torch.arange(48)))
    members = at_lrs(*(0.5 * 1.3**power for power in range(16)), lr_decay=0.3)
    expected = {}
    alone, together = SequentialExecutor(few), VectorizedExecutor(few, backend=BACKEND)
    for _ in range(4):
        expected |= by_number(alone, members, 1)
        found = by_number(together, members, 1)
        assert {n: (one.step, one.stopped) for n, one in found.items()} == {
            n: (one.step, one.stopped) for n, one in expected.items()
        }


def test_a_calm_cost_after_high_ones_can_be_the_one_that_stops(given):
    executor = VectorizedExecutor(given, backend=BACKEND)
    list(executor.advance(at_lrs(0.01), epochs=1))
    _, one = executor._members[0]
    one.initial_cost = 1.0
    one.last_costs.extend([5.0, 5.0, 5.0, 5.0])
    monitor = chunk._LossMonitor([one], bf16=False)
    monitor.check([torch.tensor([1.0])])
    assert monitor.stopped == [EXPLODED]
    assert monitor.costs == [[1.0]]


def test_the_living_are_packed_closer_after_every_epoch(given, monkeypatch):
    sizes = []
    true_run = group.run_epoch

    def run_epoch(members, runner, shared):
        sizes.append(len(members))
        return true_run(members, runner, shared)

    monkeypatch.setattr(group, "run_epoch", run_epoch)
    members = at_lrs(*[1e9, 0.01] * 6)
    found = by_number(VectorizedExecutor(given, backend=BACKEND), members, 2)
    assert sum(not advance.stopped for advance in found.values()) == 6
    assert sizes == [4, 4, 4, 4, 2]


def test_an_advance_that_was_left_in_the_middle_is_gone_on_with(given):
    members = at_lrs(0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
    whole = by_number(SequentialExecutor(given), members, 2)
    population = VectorizedExecutor(given, backend=BACKEND)
    begun = population.advance(members, epochs=1)
    first = {next(begun).number}
    begun.close()
    rest = by_number(population, members[4:], 1)
    second = by_number(population, members, 1)
    assert first == {0}
    assert set(rest) == {4, 5}
    for number, advance in second.items():
        assert advance.step == whole[number].step
        assert advance.costs == pytest.approx(whole[number].costs[-len(advance.costs) :], rel=1e-5)


def test_it_tells_how_far_it_is(given):
    heard = []
    population = VectorizedExecutor(given, backend=BACKEND, on_progress=heard.append)
    by_number(population, at_lrs(0.01, 1e9, 0.02, 0.03, 0.04), 2)
    assert [progress.alive for progress in heard] == [4, 4, 4]
    assert [progress.steps for progress in heard][-1] > 8 * 2 * 4
    assert all(progress.backend == str(BACKEND) for progress in heard)
    assert heard[-1].seconds > 0


def test_other_batch_sizes_optimizers_and_seeds_are_trained_apart(given):
    members = [
        TrialConfig(number=number, parameters={"lr": 0.01, "batch_size": size, "optimizer": kind}, seed=seed)
        for number, (size, kind, seed) in enumerate(
            [(16, "sgd", 0), (16, "adam", 0), (8, "sgd", 0), (16, "sgd", 1), (16, "sgd", 0)]
        )
    ]
    found = by_number(VectorizedExecutor(given, backend=BACKEND), members, 2)
    expected = by_number(SequentialExecutor(given), members, 2)
    for number, advance in expected.items():
        assert found[number].costs == pytest.approx(advance.costs, rel=1e-5)
    assert found[0].costs == found[4].costs


@pytest.mark.usefixtures("never_plain")
def test_what_was_found_out_serves_the_next_population(given, monkeypatch):
    by_number(VectorizedExecutor(given), at_lrs(0.01, 0.02), 1)
    assert len(group._KNOWN) == 1

    def choose(*_, **__):
        raise AssertionError("tried again")

    monkeypatch.setattr(group, "choose", choose)
    by_number(VectorizedExecutor(given), at_lrs(0.03, 0.04), 1)


def test_that_plain_pytorch_is_the_fastest_is_found_out_once(given, monkeypatch):
    group._KNOWN.clear()
    monkeypatch.setattr(calibrate, "_PLAIN_LEAD", 0.0)
    calls = []
    true_choose = group.choose
    monkeypatch.setattr(group, "choose", lambda *given, **words: calls.append(1) or true_choose(*given, **words))
    for lrs in ((0.01, 0.02), (0.03, 0.04)):
        population = VectorizedExecutor(given)
        found = by_number(population, at_lrs(*lrs), 1)
        assert {advance.backend for advance in found.values()} == {"one by one in plain PyTorch"}
        assert "no backend is faster" in population.notes[0]
    assert calls == [1]
    group._KNOWN.clear()


def test_what_is_remembered_is_bounded(given, monkeypatch):
    group._KNOWN.clear()
    monkeypatch.setattr(group, "_KEPT_CHOICES", 2)
    for width in (2, 3, 4):
        by_number(VectorizedExecutor(given, backend=Backend(strategy=SIDE_BY_SIDE, width=width)), at_lrs(0.01, 0.02), 1)
    assert len(group._KNOWN) == 2


@pytest.mark.parametrize("backend", [BACKEND, Backend(strategy=ONE_BY_ONE, width=1)], ids=str)
def test_the_outputs_of_a_member_are_those_of_its_network(given, backend):
    members = at_lrs(0.01, 0.02)
    population, plain = VectorizedExecutor(given, backend=backend), SequentialExecutor(given)
    by_number(population, members, 2)
    by_number(plain, members, 2)
    for number in (0, 1):
        assert torch.allclose(population.outputs(number), plain.outputs(number), atol=1e-5)
