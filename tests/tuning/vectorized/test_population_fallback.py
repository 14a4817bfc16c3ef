"""What cannot be trained side by side is trained another way, and it is said why; never a wrong number."""

from __future__ import annotations

import operator
import random
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from babysit.testing.executor_contract import workload
from babysit.training.hyperparameters import hyperparameters_of
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.vectorized import chunk, group
from babysit.tuning.vectorized.backends import SIDE_BY_SIDE, Backend
from babysit.tuning.vectorized.executor import VectorizedExecutor
from babysit.tuning.vectorized.signature import signature


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory = nn.GRU(2, 8, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.memory(x.view(-1, 3, 2))[0][:, -1])


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside, self.out = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        inside = self.inside(x)
        if inside.mean().item() > 0:
            inside = inside * 1.5
        return self.out(inside.relu())


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.calls = nn.Linear(6, 3), 0

    def forward(self, x):
        self.calls += 1
        return self.out(x) * (1 + 0.01 * self.calls)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        return self.out(x + 0.1 * torch.randn_like(x))


class Following(nn.Module):
    """A buffer that is assigned anew, not changed in place."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return self.out(x - self.mean)


class Tied(nn.Module):
    """One weight used twice, one never, one that is frozen."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.two.weight = self.one.weight
        self.unused = nn.Linear(4, 4)
        self.out.bias.requires_grad_(False)

    def forward(self, x):
        return self.out(self.two(self.one(x).relu()).relu())


class Hidden(nn.Module):
    """A hyperparameter in a closure."""

    def __init__(self, factor):
        super().__init__()
        self.one, self.out = nn.Linear(6, 9), nn.Linear(9, 3)
        self.bend = [lambda x: torch.tanh(factor * x)]

    def forward(self, x):
        return self.out(self.bend[0](self.one(x)))


class Boxed(nn.Module):
    """A hyperparameter where nobody can look."""

    def __init__(self, factor):
        super().__init__()
        self.one, self.out, self.times = nn.Linear(6, 9), nn.Linear(9, 3), operator.methodcaller("mul", factor)

    def forward(self, x):
        return self.out(torch.tanh(self.times(self.one(x))))


class Headless(nn.Module):
    """Members differ in what they compute and not in their first cost, which no activation reaches."""

    def __init__(self, bend):
        super().__init__()
        self.one, self.out, self.bend = nn.Linear(6, 9), nn.Linear(9, 3), bend
        nn.init.zeros_(self.out.weight)

    def forward(self, x):
        return self.out(self.bend(self.one(x)))


def bent(given):
    """Two functions of one name."""
    if given["lr"] > 0.01:
        return Headless(lambda x: torch.relu(2 * x))
    return Headless(lambda x: torch.tanh(2 * x))


class Rising(nn.Module):
    """A hyperparameter that makes no difference to the first cost."""

    def __init__(self, factor):
        super().__init__()
        self.one, self.out = nn.Linear(6, 9), nn.Linear(9, 3)
        self.share = nn.Parameter(torch.zeros(()))
        self.bend = lambda x: factor * x

    def forward(self, x):
        inside = self.one(x)
        return self.out(inside + self.share * self.bend(inside.tanh()))


def with_norm(**options):
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, **options), nn.ReLU(), nn.Linear(8, 3))


NETWORKS = {
    "recurrent": (lambda _: Recurrent(), ""),
    "item": (lambda _: Branching(), ".item()"),
    "counting": (lambda _: Counting(), "Counting.calls changes in every forward pass"),
    "noisy": (lambda _: Noisy(), "Noisy draws random numbers of its own"),
    "following": (lambda _: Following(), ""),
    "tied": (lambda _: Tied(), ""),
    "hidden": (lambda given: Hidden(1 + 50 * given["lr"]), ""),
    "boxed": (lambda given: Boxed(1 + 50 * given["lr"]), "inspection cannot detect"),
    "headless": (bent, ""),
    "headless, in C": (
        lambda given: Headless(operator.methodcaller("relu" if given["lr"] > 0.01 else "tanh")),
        "inspection cannot detect",
    ),
    "rising": (lambda given: Rising(1 + 50 * given["lr"]), ""),
    "cumulative norm": (lambda _: with_norm(momentum=None), "BatchNorm1d '1'"),
    "batch norm": (lambda _: with_norm(), ""),
    "weight norm": (
        lambda _: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3)),
        "",
    ),
    "spectral norm": (
        lambda _: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.Linear(8, 3)),
        "_SpectralNorm",
    ),
    "alpha dropout": (lambda _: nn.Sequential(nn.Linear(6, 8), nn.AlphaDropout(0.1), nn.Linear(8, 3)), "AlphaDropout"),
    "shapes": (
        lambda given: nn.Sequential(nn.Linear(6, 8 if given["lr"] > 0.01 else 5), nn.ReLU(), nn.LazyLinear(3)),
        "",
    ),
    "channels dropped": (
        lambda given: nn.Sequential(
            nn.Unflatten(1, (1, 6)),
            nn.Conv1d(1, 4, 3),
            nn.Dropout1d(10 * given["lr"]),
            nn.Flatten(),
            nn.Linear(16, 3),
        ),
        "",
    ),
    "slopes": (lambda given: nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(given["lr"]), nn.Linear(8, 3)), ""),
}


def members(count=4):
    return [
        TrialConfig(number=number, parameters={"lr": 10 ** (-1.5 - number / 4), "weight_decay": 1e-3}, seed=7)
        for number in range(count)
    ]


def by_number(executor, given, epochs=1):
    return {advance.number: advance for advance in executor.advance(given, epochs=epochs)}


def same(found, expected):
    assert found.keys() == expected.keys()
    for number, advance in expected.items():
        assert found[number].costs == pytest.approx(advance.costs, rel=1e-5)
        assert found[number].metric == advance.metric
        assert found[number].stopped == advance.stopped


@pytest.mark.parametrize("name", NETWORKS)
def test_whatever_the_network_does_the_numbers_are_those_of_plain_pytorch(name):
    build, reason = NETWORKS[name]
    if name == "shapes":

        def build(given):
            width = 8 if given["lr"] > 0.01 else 5
            return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))

    given = replace(workload(), build=build)
    population = VectorizedExecutor(given)
    same(by_number(population, members()), by_number(SequentialExecutor(given), members()))
    assert reason in " ".join(population.notes)


class ByShape(nn.Module):
    """A layer that the shorter batch at the end of an epoch does not use, or only that one."""

    def __init__(self, *, short):
        super().__init__()
        self.one, self.more, self.out = nn.Linear(6, 9), nn.Linear(9, 9), nn.Linear(9, 3)
        self.short = short

    def forward(self, x):
        inside = self.one(x).tanh()
        if self.training and (len(x) < 16) == self.short:
            inside = self.more(inside)
        return self.out(inside)


@pytest.mark.parametrize("short", [True, False])
def test_a_layer_that_only_some_batches_use_is_trained_as_plain_pytorch_does(short):
    given = replace(workload(), build=lambda _: ByShape(short=short))
    population, plainly = VectorizedExecutor(given), SequentialExecutor(given)
    for epochs in (1, 2):  # the second advance goes on from the first
        same(by_number(population, members(), epochs), by_number(plainly, members(), epochs))
    assert "one by one in plain PyTorch" in " ".join(population.notes)


class FailsLate(nn.Module):
    """Cannot be trained on in the second advance; until then it can be trained side by side."""

    def __init__(self):
        super().__init__()
        self.one, self.out = nn.Linear(6, 9), nn.Linear(9, 3)

    def forward(self, x):
        if LATE["now"]:
            raise IndexError("no such row")
        return self.out(self.one(x).tanh())


LATE = {"now": False}


def test_a_model_that_fails_while_it_is_trained_ends_with_its_own_error():
    given = replace(workload(), build=lambda _: FailsLate())
    population = VectorizedExecutor(given)
    LATE["now"] = False
    by_number(population, members())
    LATE["now"] = True
    found = by_number(population, members())
    LATE["now"] = False
    assert all(advance.stopped.startswith("failed: IndexError: no such row") for advance in found.values())


@dataclass(frozen=True, slots=True)
class Slots:
    factor: float


class WithClosure(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.held = held


HELD = {
    "code": (lambda x: x + 1, lambda x: x + 2),
    "slots": (Slots(1.0), Slots(2.0)),
    "a numpy number": (np.float32(1), np.float32(2)),
    "an array": (np.zeros(3), np.ones(3)),
    "a function of torch": (torch.relu, torch.tanh),
    "a class": (nn.ReLU, nn.Tanh),
}


@pytest.mark.parametrize("name", HELD)
def test_what_a_module_holds_tells_members_apart(name):
    hyperparameters = hyperparameters_of(TrialConfig(number=0, parameters={}), workload())
    one, other = (signature(WithClosure(held), hyperparameters) for held in HELD[name])
    assert one != other
    assert one == signature(WithClosure(HELD[name][0]), hyperparameters)


def test_networks_with_hooks_are_one_group():
    """torch counts hooks over all modules of a process."""
    built = [nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)) for _ in range(2)]
    for module in built:
        module.register_forward_hook(noticed)
    hyperparameters = hyperparameters_of(TrialConfig(number=0, parameters={}), workload())
    assert signature(built[0], hyperparameters) == signature(built[1], hyperparameters)


def noticed(_module, _inputs, _outputs):
    """A hook."""


def test_a_program_that_breaks_in_the_middle_is_replaced_and_nothing_is_lost(monkeypatch):
    given = replace(workload(), build=lambda _: with_norm())
    expected = by_number(SequentialExecutor(given), members(), epochs=3)
    population = VectorizedExecutor(given, backend=Backend(strategy=SIDE_BY_SIDE, width=4))
    calls = 0
    true_check = chunk._LossMonitor.check

    def check(self, pending):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("a kernel broke")
        true_check(self, pending)

    monkeypatch.setattr(chunk._LossMonitor, "check", check)
    same(by_number(population, members(), epochs=3), expected)
    assert any("a kernel broke" in note and "no results were lost" in note for note in population.notes)


def test_when_memory_is_short_half_as_many_are_trained_at_once(monkeypatch):
    given = replace(workload(), build=lambda _: with_norm())
    expected = by_number(SequentialExecutor(given), members(8))
    widths = []
    true_stacked = chunk.stacked

    def stacked(lanes, fixed, parts, **given):
        widths.append(len(lanes))
        if len(lanes) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999 bytes")
        return true_stacked(lanes, fixed, parts, **given)

    monkeypatch.setattr(chunk, "stacked", stacked)
    population = VectorizedExecutor(given, backend=Backend(strategy=SIDE_BY_SIDE, width=8))
    same(by_number(population, members(8)), expected)
    assert widths == [8, 4, 2, 2, 2, 2]
    assert "2 wide" in population.notes[-1]


def test_a_form_that_rounds_its_way_to_other_costs_is_refused(monkeypatch):
    """A forgotten weight decay is what a careless optimizer would do."""
    from babysit.tuning.vectorized import backends

    true_update = backends.update

    def careless(hyperparameters, numbers, *, parameters, gradients, moments):
        numbers = numbers.clone()
        numbers[1] = 0.0
        true_update(hyperparameters, numbers, parameters=parameters, gradients=gradients, moments=moments)

    given = replace(workload(), optimizer="sgd", weight_decay=0.5)
    expected = by_number(
        SequentialExecutor(given), [TrialConfig(number=n, parameters={"lr": 0.05 + n / 100}) for n in range(4)]
    )
    monkeypatch.setattr(backends, "update", careless)
    group._KNOWN.clear()
    population = VectorizedExecutor(given)
    found = by_number(population, [TrialConfig(number=n, parameters={"lr": 0.05 + n / 100}) for n in range(4)])
    same(found, expected)
    assert re.search(r"loss \S+ at step \d, but \S+ in plain PyTorch", population.notes[0])


class InPlace(nn.Module):
    """Divides the input where it lies."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        x /= 2
        return self.out(x)


class OftenInEval(nn.Module):
    """Keeps its dropout when it is evaluated, as for Monte Carlo estimates."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.out = nn.Linear(6, 9), nn.Dropout(0.5), nn.Linear(9, 3)

    def forward(self, x):
        self.drop.train()
        return self.out(self.drop(self.one(x).tanh()))


class LeavesOut(nn.Module):
    """A layer that is left out now and then, as a generator of its own says."""

    def __init__(self):
        super().__init__()
        self.one, self.more, self.out = nn.Linear(6, 9), nn.Linear(9, 9), nn.Linear(9, 3)
        self.draw = random.Random(3)

    def forward(self, x):
        inside = self.one(x).tanh()
        if not self.training or self.draw.random() > 0.05:
            inside = inside + self.more(inside)
        return self.out(inside)


class CountsInEval(nn.Module):
    """Remembers how often it was evaluated, and computes something else by it."""

    def __init__(self):
        super().__init__()
        self.one, self.out = nn.Linear(6, 9), nn.Linear(9, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if not self.training:
            self.seen += 1
        return self.out(self.one(x).tanh() * (1 + 0.1 * self.seen))


class TurnedInEval(nn.Module):
    """A hyperparameter that only evaluation uses, where nobody can look."""

    def __init__(self, given):
        super().__init__()
        self.one, self.out = nn.Linear(6, 9), nn.Linear(9, 3)
        self.turns = range(int(1000 * given["lr"]))

    def forward(self, x):
        inside = self.one(x).tanh()
        for _ in self.turns if not self.training else ():
            inside = inside.roll(1, 1)
        return self.out(inside)


class ReadsItsShare(nn.Module):
    """Draws its own dropout with the share of a layer that it never calls."""

    def __init__(self):
        super().__init__()
        self.one, self.drop, self.out = nn.Linear(6, 9), nn.Dropout(0.2), nn.Linear(9, 3)

    def forward(self, x):
        return self.out(nn.functional.dropout(self.one(x).tanh(), self.drop.p, self.training))


class MadeLate(nn.Module):
    """A buffer that is not there before the first batch."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)
        self.register_buffer("mean", None)

    def forward(self, x):
        if self.mean is None:
            self.mean = x.mean(0)
        return self.out(x - self.mean)


@pytest.mark.parametrize(
    "build",
    [
        *(lambda _, kind=kind: kind() for kind in (InPlace, OftenInEval, LeavesOut, CountsInEval, ReadsItsShare)),
        *(TurnedInEval, lambda _: MadeLate()),
    ],
    ids=["in place", "dropout in eval", "generator", "counts in eval", "reads p", "turned in eval", "made late"],
)
def test_what_only_later_steps_or_the_evaluation_would_show_is_seen_beforehand(build):
    given = replace(workload(), build=build)
    before = given.train.x.clone(), given.validation.x.clone()
    population, plainly = VectorizedExecutor(given), SequentialExecutor(given)
    for epochs in (1, 2):
        same(by_number(population, members(), epochs), by_number(plainly, members(), epochs))
    assert "one by one in plain PyTorch" in " ".join(population.notes)
    assert given.train.x.equal(before[0])
    assert given.validation.x.equal(before[1])
