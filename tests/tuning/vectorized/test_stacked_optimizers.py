"""Every stacked optimizer against PyTorch's own, member by member, in float64."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from babysit.records.errors import UserError
from babysit.testing.executor_contract import workload
from babysit.training.hyperparameters import clip, hyperparameters_of, optimizer_for, set_lr
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.vectorized.optimizers import coefficients, slots, update

STEPS_AN_EPOCH, EPOCHS, MEMBERS = 12, 2, 3
COMMON = [{"lr": 3e-3, "weight_decay": 0.0}, {"lr": 2e-2, "weight_decay": 0.1}, {"lr": 1e-4, "weight_decay": 3.0}]
SCHEDULES = [{"lr_decay": 0.5, "lr_end": 0.1}, {"lr_decay": 0.9, "warmup_steps": 7}, {"warmup_steps": 30}]
CLIPPED = [{"grad_clip_norm": 0.5}, {"grad_clip_norm": 2.0}, {"grad_clip_norm": 1e9}]
MOMENTA = [{"momentum": 0.5}, {"momentum": 0.9}, {"momentum": 0.99}]
BETAS = [{"beta1": 0.8, "beta2": 0.9}, {"beta1": 0.9, "beta2": 0.999}, {"beta1": 0.5, "beta2": 0.95}]
NOTHING = [{}, {}, {}]


def recipe_for(words, epochs=EPOCHS):
    return hyperparameters_of(TrialConfig(number=0, parameters=words, epochs=epochs), workload())


class Curved(torch.nn.Module):
    """Parameters of several shapes, and a loss whose gradient is neither small nor constant."""

    def __init__(self, member: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(member)
        self.matrix = torch.nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
        self.vector = torch.nn.Parameter(torch.randn(3, generator=generator, dtype=torch.float64))
        self.number = torch.nn.Parameter(torch.randn((), generator=generator, dtype=torch.float64))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return ((x @ self.matrix).tanh() @ self.vector - 2 * self.number).square().mean() + self.number.cos()


@cache
def inputs() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return [torch.randn(8, 4, generator=generator, dtype=torch.float64) for _ in range(STEPS_AN_EPOCH * EPOCHS)]


def by_torch(hyperparameters, member):
    model = Curved(member)
    optimizer = optimizer_for(model, hyperparameters)
    for step, x in enumerate(inputs()):
        set_lr(optimizer, hyperparameters.lr_at(step, step // STEPS_AN_EPOCH))
        optimizer.zero_grad()
        model.loss(x).backward()
        clip(model, hyperparameters.grad_clip_norm)
        optimizer.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def side_by_side(recipes):
    models = [Curved(member) for member in range(MEMBERS)]
    names = [name for name, _ in models[0].named_parameters()]
    parameters = {name: torch.stack([model.get_parameter(name).detach() for model in models]) for name in names}
    moments = {slot: {name: torch.zeros_like(parameters[name]) for name in names} for slot in slots(recipes[0])}
    for epoch in range(EPOCHS):
        table = coefficients(recipes, step=epoch * STEPS_AN_EPOCH, epoch=epoch, steps=STEPS_AN_EPOCH)
        for step in range(STEPS_AN_EPOCH):
            gradients = {name: [] for name in names}
            for place, model in enumerate(models):
                for name in names:
                    model.get_parameter(name).data.copy_(parameters[name][place])
                model.zero_grad()
                model.loss(inputs()[epoch * STEPS_AN_EPOCH + step]).backward()
                for name in names:
                    gradients[name].append(model.get_parameter(name).grad.clone())
            stacked = {name: torch.stack(found) for name, found in gradients.items()}
            numbers = torch.from_numpy(table[step])
            update(recipes[0], numbers, parameters=parameters, gradients=stacked, moments=moments)
    return parameters


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw"])
@pytest.mark.parametrize(
    "extra",
    [NOTHING, SCHEDULES, CLIPPED, MOMENTA, BETAS],
    ids=["plain", "schedules", "clipped", "momenta", "betas"],
)
def test_a_member_of_a_stack_goes_where_pytorch_brings_it(optimizer, extra):
    given = [{**common, **own, "optimizer": optimizer} for common, own in zip(COMMON, extra, strict=True)]
    recipes = [recipe_for(words) for words in given]
    found = side_by_side(recipes)
    for place, hyperparameters in enumerate(recipes):
        for name, expected in by_torch(hyperparameters, place).items():
            error = (found[name][place] - expected).abs().max() / expected.abs().max()
            assert error < 1e-12, name


def test_a_member_that_is_not_a_number_leaves_the_others_alone():
    recipes = [recipe_for({"lr": 1e-2, "optimizer": "adam", "grad_clip_norm": 1.0})] * 2
    table = torch.from_numpy(coefficients(recipes, step=0, epoch=0, steps=1))[0]
    parameters = {"w": torch.ones(2, 3, dtype=torch.float64)}
    moments = {slot: {"w": torch.zeros(2, 3, dtype=torch.float64)} for slot in slots(recipes[0])}
    gradients = {"w": torch.tensor([[float("nan")] * 3, [1.0, 2.0, 3.0]], dtype=torch.float64)}
    update(recipes[0], table, parameters=parameters, gradients=gradients, moments=moments)
    assert parameters["w"][0].isnan().all()
    assert torch.allclose(parameters["w"][1], torch.full((3,), 0.99, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"optimizer": "sgdd"}, "sgdd"),
        ({"optimizer": "sgd", "momentum": 1.0}, "momentum is 1"),
        ({"optimizer": "nesterov", "momentum": 0.0}, "nesterov"),
        ({"beta1": 1.5}, "beta1"),
        ({"beta2": -0.1}, "beta2"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": -1.0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"grad_clip_norm": -1.0}, "grad_clip_norm"),
        ({"lr_end": -0.1}, "lr_end"),
    ],
)
def test_a_number_that_no_training_can_use_is_refused_by_name(words, named):
    with pytest.raises(UserError, match=named):
        recipe_for(words)


def test_what_an_optimizer_does_not_know_is_left_unused():
    hyperparameters = recipe_for({"optimizer": "adagrad", "momentum": 0.9, "beta1": 0.5})
    assert hyperparameters.momentum is None
    assert slots(hyperparameters) == ("sum",)


def test_the_lr_rises_over_the_warm_up_and_falls_from_epoch_to_epoch():
    hyperparameters = recipe_for({"lr": 1.0, "warmup_steps": 4, "lr_decay": 0.5})
    assert [hyperparameters.lr_at(step, 0) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert hyperparameters.lr_at(100, 3) == 0.125


def test_of_the_lr_the_wanted_share_is_left_in_the_last_epoch_however_many_there_are():
    words = {"lr": 2.0, "lr_end": 0.01}
    for epochs in (2, 5, 40):
        hyperparameters = recipe_for(words, epochs)
        assert hyperparameters.lr_at(0, 0) == 2.0
        assert hyperparameters.lr_at(100, epochs - 1) == pytest.approx(0.02)
    assert recipe_for(words, 5).lr_at(100, 2) == pytest.approx(0.2)
    assert recipe_for(words, 1).lr_at(0, 0) == 2.0


def test_a_share_of_the_lr_at_the_end_needs_an_end():
    with pytest.raises(UserError, match="number of epochs"):
        recipe_for({"lr_end": 0.1}, epochs=0)
