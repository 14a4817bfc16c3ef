"""The first promise: watched or not, with the same seed every bit is the same."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 16, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.gru(values.view(-1, 4, 6))[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(6, 4)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.encoder(values.view(-1, 4, 6)).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, 6)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.2),
        nn.Flatten(),
        nn.Linear(192, 4),
    )


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
    "adam": lambda model: torch.optim.AdamW(model.parameters(), lr=0.003),
    "lbfgs": lambda model: torch.optim.LBFGS(model.parameters(), lr=0.3, max_iter=4),
}


def train(build: Callable[[], nn.Module], optimizer_name: str, *, watched: bool, steps: int = 90) -> list[bytes]:
    """Train with evaluation passes in between; everything a seed decides, as bytes."""
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    inputs, labels = torch.randn(96, 24), torch.randint(0, 4, (96,))
    model = build()
    optimizer = OPTIMIZERS[optimizer_name](model)
    seen: list[Tensor] = []

    def loop() -> None:
        for step in range(steps):
            rows = torch.randperm(96)[:32]

            def closure(rows: Tensor = rows) -> Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs[rows]), labels[rows])
                loss.backward()
                return loss

            if optimizer_name == "lbfgs":
                optimizer.step(closure)
            else:
                closure()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            if step % 10 == 9:
                model.eval()
                with torch.no_grad():
                    seen.append(model(inputs).clone())
                    seen.append((seen[-1].argmax(1) == labels).float().mean())
                model.train()

    if watched:
        with Monitor(model, optimizer) as watching:
            loop()
        assert watching.run.overhead is not None
        assert watching.run.overhead.sampled_steps >= 20
    else:
        loop()
    tensors = [*model.state_dict().values(), *seen, torch.get_rng_state()]
    tensors += [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return [tensor.numpy().tobytes() for tensor in tensors] + [
        repr(np.random.get_state()).encode(),
        repr(random.getstate()).encode(),
    ]


@pytest.mark.parametrize("optimizer_name", ["sgd", "adam"])
@pytest.mark.parametrize("build", [mlp, cnn, Recurrent, Attention])
def test_weights_buffers_optimizer_outputs_and_random_states_do_not_change(
    build: Callable[[], nn.Module], optimizer_name: str
) -> None:
    assert train(build, optimizer_name, watched=True) == train(build, optimizer_name, watched=False)


def test_a_closure_optimizer_takes_the_same_path() -> None:
    assert train(mlp, "lbfgs", watched=True, steps=25) == train(mlp, "lbfgs", watched=False, steps=25)


def test_torch_is_left_as_it_was() -> None:
    before = (torch.autograd.backward, torch.no_grad.__enter__, torch.optim.Optimizer.__init__, nn.Module.train)
    train(mlp, "adam", watched=True)
    after = (torch.autograd.backward, torch.no_grad.__enter__, torch.optim.Optimizer.__init__, nn.Module.train)
    assert before == after
    assert torch._C._len_torch_function_stack() == 0
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


def test_a_crash_inside_the_model_leaves_nothing_behind() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, values: Tensor) -> Tensor:
            self.layer(values)
            raise RuntimeError("broken on purpose")

    model = Broken()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match="on purpose"), Monitor(model, optimizer) as watching:
        model(torch.ones(1, 2))
    assert watching.run.status == "crashed"
    assert torch._C._len_torch_function_stack() == 0
    assert not nn.modules.module._global_forward_hooks


def test_a_users_own_mode_that_ends_inside_a_sampled_step_takes_only_itself_away() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.device("meta"):
        watching = Monitor(model, optimizer)
        watching.start()
    assert torch.ones(1).device.type == "cpu"
    model(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    watching.close()
    assert torch._C._len_torch_function_stack() == 0
