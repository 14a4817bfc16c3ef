from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from babysit.experiments.isolation import isolated, preserve_random_states, random_states, set_random_states
from babysit.experiments.replica import replica
from babysit.records.errors import UserError


class Reader(nn.Module):
    """A GRU that also counts its calls and keeps its last state, as user code does."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 8, num_layers=2, dropout=0.3, batch_first=True)
        self.out = nn.Linear(8, 3)
        self.calls = 0
        self.last = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        states, _ = self.gru(x.reshape(len(x), -1, 4))
        self.last = states[:, -1].detach()
        return self.out(states[:, -1])


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def convolutional() -> nn.Module:
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3))
    return nn.Sequential(nn.Unflatten(1, (1, 4, 4)), *layers)


MODELS = {"mlp": dense, "cnn": convolutional, "gru": Reader}
OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, amsgrad=True),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9),
    "lbfgs": lambda parameters: torch.optim.LBFGS(parameters, lr=0.1, max_iter=3),
}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        x, y = torch.randn(6, 16), torch.randint(3, (6,))

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)


def everything(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """All that must be the same, tensors as bytes."""

    def bits(value: Any) -> Any:
        if isinstance(value, Tensor):
            return (value.dtype, tuple(value.shape), value.detach().numpy().tobytes())
        if isinstance(value, dict):
            return {key: bits(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [bits(item) for item in value]
        return value

    return {
        "state": bits(model.state_dict()),
        "gradients": [bits(parameter.grad) for parameter in model.parameters()],
        "trainable": [parameter.requires_grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "plain": [(getattr(module, "calls", None), bits(getattr(module, "last", None))) for module in model.modules()],
        "optimizer": bits(optimizer.state_dict()),
        "objects": [id(parameter) for parameter in model.parameters()],
        "places": [parameter.data_ptr() for parameter in model.parameters()],
        "random": bits(random_states()),
        "numpy": bits(np.random.get_state()[1].tolist()),
        "python": random.getstate(),
        "switches": (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark,
            torch.is_grad_enabled(),
        ),
    }


def upset(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Change all that undisturbed promises to restore."""
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    train(model, optimizer, 3)
    model.eval()
    next(model.parameters()).requires_grad_(False)
    model.zero_grad(set_to_none=True)
    for parameter in model.parameters():
        parameter.data = torch.full_like(parameter.data, 7.0)
    for name, buffer in list(model.named_buffers(recurse=True)):
        holder = model.get_submodule(name.rpartition(".")[0])
        setattr(holder, name.rpartition(".")[2], torch.zeros_like(buffer))
    optimizer.param_groups[0]["lr"] = 5.0
    optimizer.param_groups.append({"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0})
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.set_grad_enabled(False)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("stepper", OPTIMIZERS)
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "raises"])
def test_everything_is_restored_to_the_bit(kind: str, stepper: str, fails: bool) -> None:
    torch.manual_seed(1)
    model = MODELS[kind]()
    optimizer = OPTIMIZERS[stepper](model.parameters())
    train(model, optimizer, 2)
    list(model.modules())[1].eval()  # one submodule in another mode than the rest
    next(iter(model.parameters())).grad = None  # and one parameter without a gradient
    before = everything(model, optimizer)

    def experiment() -> None:
        with isolated(model, optimizer):
            upset(model, optimizer)
            assert everything(model, optimizer) != before
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            experiment()
    else:
        experiment()
    after = everything(model, optimizer)
    assert {name for name in before if before[name] != after[name]} == set()


@pytest.mark.parametrize("kind", MODELS)
def test_training_goes_on_exactly_as_without_the_experiment(kind: str) -> None:
    def final(experiment: Callable[[nn.Module, torch.optim.Optimizer], None]) -> dict[str, Any]:
        torch.manual_seed(3)
        model = MODELS[kind]()
        optimizer = OPTIMIZERS["adam"](model.parameters())
        train(model, optimizer, 3)
        experiment(model, optimizer)
        train(model, optimizer, 3)
        return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}

    def disturb(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        with isolated(model, optimizer):
            upset(model, optimizer)

    assert final(disturb) == final(lambda model, optimizer: None)


def test_a_graph_that_the_caller_holds_stays_valid() -> None:
    model = dense()
    loss = model(torch.ones(2, 16)).sum()
    with isolated(model), torch.no_grad():
        for parameter in model.parameters():
            parameter.data.mul_(2)
    loss.backward()
    assert model[0].weight.grad is not None


def test_lazy_layers_are_refused_with_advice() -> None:
    with pytest.raises(UserError, match="Run one batch"), isolated(nn.LazyLinear(3)):
        pass


def test_random_states_survive_a_file_without_code(tmp_path: Any) -> None:
    torch.save(random_states(), tmp_path / "states.pt")
    drawn = (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), random.gauss(0, 1))
    set_random_states(torch.load(tmp_path / "states.pt", weights_only=True))
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), random.gauss(0, 1)) == drawn


def test_a_seeding_inside_does_not_leak_out() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with preserve_random_states():
        torch.manual_seed(0)
    assert torch.equal(torch.rand(1), expected)


def test_a_replica_learns_and_the_original_does_not() -> None:
    model = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer, 1)
    before = everything(model, optimizer)
    with replica(model, optimizer) as (twin, twin_optimizer):
        assert twin is not model
        assert twin_optimizer is not None
        assert not twin_optimizer.state  # it starts fresh
        train(twin, twin_optimizer, 2)
        assert not torch.equal(twin[0].weight, model[0].weight)
    assert everything(model, optimizer) == before


def test_a_model_that_cannot_be_copied_is_used_itself_and_put_back() -> None:
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("no copies of me")

    model = Stubborn(16, 3)
    before = model.weight.detach().clone()
    with replica(model) as (twin, _):
        assert twin is model
        train(twin, torch.optim.SGD(twin.parameters(), lr=1.0), 1)
        assert not torch.equal(model.weight, before)
    assert torch.equal(model.weight, before)
