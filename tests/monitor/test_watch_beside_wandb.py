"""babysit and wandb.watch look at one model at the same time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor.monitor import Monitor

wandb = pytest.importorskip("wandb")

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(32, 8, generator=GENERATOR)
LABELS = torch.randint(0, 3, (32,), generator=GENERATOR)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def hooks(network: nn.Module) -> list[int]:
    own = [len(module._forward_hooks) + len(module._backward_hooks) for module in network.modules()]
    everywhere = torch.nn.modules.module
    return [*own, len(everywhere._global_forward_hooks), len(everywhere._global_forward_pre_hooks)]


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 40) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network(INPUTS), LABELS).backward()
        optimizer.step()


@pytest.mark.slow
def test_both_see_their_own_and_the_weights_stay_the_same(tmp_path, monkeypatch):
    plain = model()
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1))

    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    logged: list[str] = []
    # Given here and not in the environment: wandb reads that once a process, and others may have asked before.
    quiet = wandb.Settings(silent=True)
    with wandb.init(project="beside", dir=str(tmp_path), mode="offline", settings=quiet) as run:
        record = run._log
        monkeypatch.setattr(run, "_log", lambda data, *a, **k: (logged.extend(data), record(data, *a, **k))[1])
        run.watch(network, log="all", log_freq=5)
        before = hooks(network)
        with Monitor(network, optimizer) as looking:
            train(network, optimizer)
        assert hooks(network) == before  # ours are gone, theirs are there
        run.unwatch(network)
    assert any("gradients/" in name for name in logged)
    assert any("parameters/" in name for name in logged)
    seen = looking.run
    assert seen.events.steps == 40
    assert (seen.layer_metrics.series("gradient_rms", "0") > 0).any()
    for mine, other in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, other)
