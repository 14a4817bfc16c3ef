"""What the first batch or the first costs do not tell is found out all the same; the user's errors end one trial."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from babysit.cli.search import SearchOptions
from babysit.data.batches import shuffled
from babysit.records.errors import UserError
from babysit.testing.executor_contract import workload
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.vectorized import autotune, group
from babysit.tuning.vectorized.backends import ONE_BY_ONE, SHARED_INPUT, SIDE_BY_SIDE, Backend
from babysit.tuning.vectorized.executor import VectorizedExecutor

LATER = 5.0  # a value that the first batches do not have


def with_outlier():
    """A workload whose batches but the fourth are within limits."""
    given = workload()
    x = given.train.x.clamp(-3, 3)
    x[shuffled(len(x), seed=7, epoch=0)[3 * given.batch_size], 0] = 2 * LATER
    return replace(given, train=replace(given.train, x=x))


def members(*lrs):
    return [TrialConfig(number=number, parameters={"lr": lr}, seed=7) for number, lr in enumerate(lrs)]


def both(given, alike, backend=None):
    """What plain PyTorch and a population make of the members, and what the latter says."""
    group._KNOWN.clear()
    population = VectorizedExecutor(given, backend=backend)
    found = {advance.number: advance for advance in population.advance(alike, epochs=1)}
    expected = {advance.number: advance for advance in SequentialExecutor(given).advance(alike, epochs=1)}
    group._KNOWN.clear()
    return found, expected, " ".join(population.notes)


def same(found, expected):
    assert found.keys() == expected.keys()
    for number, advance in expected.items():
        assert found[number].costs == pytest.approx(advance.costs, rel=1e-4)
        assert found[number].stopped == advance.stopped


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.register_buffer("limit", torch.tensor(LATER))


class Rare(Network):
    def forward(self, x):
        inside = self.one(x).relu()
        return self.out(inside + self.two(inside) if (x > LATER).any() else inside)


class Often(Network):
    def forward(self, x):
        inside = self.one(x).relu()
        return self.out(inside if (x > LATER).any() else inside + self.two(inside))


class Experts(Network):
    def forward(self, x):
        inside = self.one(x).relu()
        chosen = x[:, 0] > LATER
        return self.out(inside.index_put((chosen,), self.two(inside[chosen])))


class Listing(Network):
    def forward(self, x):
        inside = self.one(x).relu()
        return self.out(inside + self.two(inside) if max(x[:, 0].tolist()) > LATER else inside)


class Growing(Network):
    def forward(self, x):
        if self.training:
            self.limit.copy_(torch.maximum(self.limit, x.max()))
        return self.out(self.one(x / self.limit).relu())


class Renewed(Network):
    def forward(self, x):
        if self.training:
            self.limit = torch.maximum(self.limit, x.max())
        return self.out(self.one(x / self.limit).relu())


@pytest.mark.parametrize("kind", [Rare, Often, Experts, Listing, Growing, Renewed])
def test_what_only_a_later_batch_trains_or_changes_is_as_in_plain_pytorch(kind):
    given = replace(with_outlier(), build=lambda _: kind(), optimizer="adam", weight_decay=0.1)
    found, expected, notes = both(given, members(0.01, 0.02, 0.03, 0.04), Backend(strategy=SIDE_BY_SIDE, width=4))
    same(found, expected)
    assert ("branches on the values" in notes) is (kind not in (Growing, Renewed))


class LookedUp(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(3, 8), nn.Linear(6, 8)
        self.end = nn.Linear(8, 3)

    def forward(self, x):
        return self.end(self.out(x) + self.words(x[:, 0].long().clamp(0, 2)))


class Checking(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        assert torch.isfinite(x).all()
        return self.out(x)


@pytest.mark.parametrize("kind", [LookedUp, Checking])
def test_an_index_or_a_check_of_the_inputs_beside_the_first_dense_layer_is_no_error(kind):
    found, expected, _ = both(replace(workload(), build=lambda _: kind()), members(0.01, 0.02, 0.03, 0.04))
    same(found, expected)


class Careful(nn.Module):
    """Raises when training has diverged, without a look at any value: an index is out of range."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        found = self.out(x)
        index = torch.where(found.detach().abs().max() < 1e6, 0, 1)
        return found + torch.zeros(1, 3).index_select(0, index.reshape(1))


def test_a_model_that_raises_while_forms_are_tried_ends_its_own_trial_alone():
    given = replace(workload(), build=lambda _: Careful(), optimizer="sgd")
    found, expected, notes = both(given, members(1e30, 0.01, 0.02, 0.03))
    assert found[0].stopped
    assert "no reference results" in notes
    same({number: found[number] for number in (1, 2, 3)}, {number: expected[number] for number in (1, 2, 3)})


def smaller(parameter):
    parameter.grad.mul_(0.2)


def hooked(_given):
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(smaller)
    return model


@pytest.mark.parametrize(
    "backend", [None, Backend(strategy=SHARED_INPUT, width=4), Backend(strategy=ONE_BY_ONE, width=1)]
)
def test_a_hook_on_a_gradient_is_left_to_plain_pytorch(backend):
    """A copy of the model does not have it, and it may do something only later."""
    given = replace(workload(), build=hooked, optimizer="sgd")
    found, expected, notes = both(given, members(1e-7, 1e-7, 0.3, 0.1), backend)
    same(found, expected)
    assert "a parameter has a hook on its gradient" in notes


def test_gradients_are_compared_where_the_lr_is_too_small_to_move_the_cost(monkeypatch):
    real = autotune.train_step_of

    def step_of(backend, plan):
        step = real(backend, plan)

        def too_short(stack, batch):
            before = {name: tensor.clone() for name, tensor in stack.parameters.items()}
            losses = step(stack, batch)
            for name, tensor in stack.parameters.items():
                tensor.lerp_(before[name], 0.8)
            return losses

        return step if backend.strategy == ONE_BY_ONE else too_short

    monkeypatch.setattr(autotune, "train_step_of", step_of)
    found, expected, notes = both(replace(workload(), optimizer="sgd"), members(1e-7, 1e-7, 0.3, 0.1))
    same(found, expected)
    assert "not side by side: the gradient of" in notes


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad"])
def test_right_gradients_are_found_right_with_every_optimizer(optimizer):
    def build(_given):
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    given = replace(workload(), build=build, optimizer=optimizer, weight_decay=0.1)
    backend = Backend(strategy=SHARED_INPUT, width=4)
    found, expected, notes = both(given, members(1e-7, 1e-7, 0.01, 0.02), backend)
    same(found, expected)
    assert {advance.backend for advance in found.values()} == {str(backend)}, notes


def test_inputs_in_bfloat16_are_kept_only_while_they_are_read():
    half = Backend(strategy=SHARED_INPUT, width=4, bf16=True)
    given = replace(workload(), build=lambda _: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    for backend, kept in ((half, True), (Backend(strategy=SHARED_INPUT, width=4), False)):
        group._KNOWN.clear()
        population = VectorizedExecutor(given, backend=backend)
        population._shared.train_in(half=True)
        list(population.advance(members(0.01, 0.02, 0.03, 0.04), epochs=1))
        assert bool(population._shared._halves) is kept
        population.close()
        assert not population._shared._halves


@pytest.mark.parametrize("given", [{"stages": -3}, {"stages": 0}, {"fine": -2}])
def test_a_search_of_fewer_than_no_stages_or_trials_is_refused(given):
    with pytest.raises(UserError):
        SearchOptions(**given).settings(0)
