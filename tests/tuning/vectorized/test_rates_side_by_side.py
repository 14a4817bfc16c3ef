"""Learning rates tried side by side on one model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from babysit.data.batches import batches, shuffled
from babysit.nn.losses import loss_for
from babysit.records.errors import UserError
from babysit.testing.executor_contract import workload
from babysit.tuning.vectorized.lr_trials import run_lr_trials


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))


def test_each_lr_trains_a_copy_of_the_model_as_it_is(model):
    samples = workload().train
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    trials = run_lr_trials(model, samples, lrs=[1e-4, 1e-2, 1e9], optimizer="sgd", batch_size=20, steps=6)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [trial.lr for trial in trials] == [1e-4, 1e-2, 1e9]
    assert [len(trial.costs) for trial in trials[:2]] == [6, 6]
    assert trials[2].stopped
    train = samples.take(shuffled(len(samples), seed=0, epoch=0))
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=1e-2)
    expected = []
    for x, y in batches(train, size=20, seed=0, epoch=0):
        loss = loss_for(train.task)(twin(x), y)
        expected.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert trials[1].costs == pytest.approx(expected, rel=1e-5)


def test_more_steps_than_samples_go_through_them_again(model):
    trials = run_lr_trials(model, workload().train, lrs=[1e-3], batch_size=20, steps=18)
    assert len(trials[0].costs) == 18


@pytest.mark.parametrize("lrs", [[], [0.0, 1.0], [float("nan")]])
def test_lrs_that_are_none_are_refused(model, lrs):
    with pytest.raises(UserError, match="learning rates to try"):
        run_lr_trials(model, workload().train, lrs=lrs)
