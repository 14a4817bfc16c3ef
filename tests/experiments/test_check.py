from __future__ import annotations

import copy

import pytest
import torch
from rich.progress import Progress
from test_isolation import MODELS, OPTIMIZERS, everything, train
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.check import CheckSettings, check
from babysit.experiments.optimizers import make_optimizer
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.errors import UserError
from babysit.records.experiment import Outcome
from babysit.records.model_summary import Task

NAMES = [
    "sample-isolation",
    "input-dependence",
    "determinism",
    "train-eval-agreement",
    "initial-signal",
    "symmetric-units",
    "initial-loss",
    "initial-loss-regularized",
    "overfit-tiny",
    "lr-range",
    "step-cost",
]


def test_the_experiments_run_in_the_lectures_order_and_pass_on_a_healthy_network(digits: Samples) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Standardize.fit(digits.x), mlp(64, 10, dropout=0.2, batch_norm=True)).eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with Progress(disable=True) as progress:
        results = check(model, digits, progress=progress)
        assert progress.finished
    assert [result.name for result in results] == NAMES
    assert {result.outcome for result in results} == {Outcome.PASS}
    assert all(result.seconds > 0 for result in results)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in model.modules())


def test_an_experiment_that_cannot_run_is_skipped_and_the_others_go_on(digits: Samples) -> None:
    def forgetful(output: Tensor, target: Tensor) -> Tensor:
        if output.requires_grad:
            raise ValueError("no gradients today")
        return nn.functional.cross_entropy(output, target)

    results = {result.name: result for result in check(mlp(64, 10), digits, settings=CheckSettings(loss=forgetful))}
    assert list(results) == NAMES
    assert results["overfit-tiny"].outcome is Outcome.SKIPPED
    assert "ValueError: no gradients today" in results["overfit-tiny"].message
    assert results["initial-loss-regularized"].outcome is Outcome.PASS


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("stepper", OPTIMIZERS)
def test_all_experiments_together_leave_every_bit_as_it_was(kind: str, stepper: str) -> None:
    torch.manual_seed(1)
    model = MODELS[kind]()
    optimizer = OPTIMIZERS[stepper](model.parameters())
    train(model, optimizer, 2)
    list(model.modules())[1].eval()  # one submodule in another mode than the rest
    next(iter(model.parameters())).grad = None
    samples = Samples(
        x=torch.randn(40, 16), y=torch.arange(40) % 3, task=Task.CLASSES, kind="table", class_names=("a", "b", "c")
    )
    before = everything(model, optimizer)
    hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
    results = check(model, samples, settings=CheckSettings(optimizer=optimizer, batch_size=8))
    after = everything(model, optimizer)
    assert not any(result.outcome is Outcome.SKIPPED for result in results), [result.message for result in results]
    assert {name for name in before if before[name] != after[name]} == set()
    assert hooks == [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]


def test_a_regression_is_checked_from_end_to_end(line: Samples) -> None:
    results = check(mlp(5, 1), line)
    assert [result.name for result in results] == NAMES
    assert not {result.outcome for result in results} & {Outcome.FAIL, Outcome.SKIPPED}


def test_a_model_with_the_wrong_number_of_outputs_is_refused(digits: Samples) -> None:
    with pytest.raises(UserError, match="10"):
        check(mlp(64, 7), digits)


def test_a_model_for_other_inputs_is_refused_without_a_traceback_of_ours(digits: Samples) -> None:
    with pytest.raises(UserError, match="64"):
        check(mlp(63, 10), digits)


def test_no_samples_are_refused(digits: Samples) -> None:
    with pytest.raises(UserError, match="no samples"):
        check(mlp(64, 10), digits.take([]))


def test_an_unknown_optimizer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="adamw"):
        make_optimizer("adamm", mlp(3, 2), lr=0.1)


def test_a_frozen_model_has_nothing_to_train() -> None:
    with pytest.raises(UserError, match="requires_grad"):
        make_optimizer("adam", mlp(3, 2).requires_grad_(False), lr=0.1)
