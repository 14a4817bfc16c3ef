"""What watching costs: plain and watched steps in interleaved blocks, with a second plain model as the control.

Run with `make bench`. All of babysit's conditions train one and the same model in turns, since two copies of a model
differ by a percent from where they lie in memory alone; other tools cannot be taken off for a block and train copies.
A round runs one block of each in random order, and a block's cost is its process CPU time, which a busy machine
disturbs less than the clock; the figure is the median over rounds of the ratio to the mean of the round's two plain
blocks. Tools that are not installed are left out. What a watch costs that never samples is also told in microseconds,
on a network so small that nothing else is left.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import watch

LOG_EVERY = 100  # steps between two histograms of wandb.watch


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "MLP 784-256-256-10, batch 128": (mlp, (128, 784), 150),
    "CNN of 3 convolutions, 32x32x3, batch 64": (cnn, (64, 3, 32, 32), 15),
}


class Observer(Protocol):
    """What stands beside a training: told when its block begins and ends, and after every step."""

    def begin(self) -> None: ...
    def step(self, loss: Tensor) -> None: ...
    def end(self) -> None: ...
    def remark(self) -> str: ...


class Nobody:
    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None: ...
    def begin(self) -> None: ...
    def step(self, loss: Tensor) -> None: ...
    def end(self) -> None: ...
    def remark(self) -> str:
        return ""


class Babysit(Nobody):
    overhead = 0.01

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.watching = watch(model, optimizer, overhead=self.overhead).start()
        self.watching.pause()

    def begin(self) -> None:
        self.watching.resume()

    def end(self) -> None:
        self.watching.pause()

    def remark(self) -> str:
        cost = self.watching.snapshot().overhead
        return f"a sample every {cost.every} steps" if cost else ""


class BabysitHalf(Babysit):
    overhead = 0.005


class BabysitIdle(Babysit):
    overhead = 1e-9


class TensorBoard(Nobody):
    """A histogram of every weight and gradient at every step, as many tutorials do."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.model, self.steps = model, 0
        self.writer = SummaryWriter(tempfile.mkdtemp())

    def step(self, loss: Tensor) -> None:
        self.steps += 1
        for name, parameter in self.model.named_parameters():
            self.writer.add_histogram(f"weights/{name}", parameter, self.steps)
            self.writer.add_histogram(f"gradients/{name}", parameter.grad, self.steps)


class Wandb(Nobody):
    """wandb.watch(log="all") offline, with one scalar logged a step."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        import wandb

        self.run = wandb.init(mode="offline", dir=tempfile.mkdtemp(), settings=wandb.Settings(silent=True))
        self.run.watch(model, log="all", log_freq=LOG_EVERY)

    def step(self, loss: Tensor) -> None:
        self.run.log({"loss": loss.item()})


PLAIN: dict[str, tuple[type[Nobody], str]] = {
    "plain": (Nobody, ""),
    "plain again (control)": (Nobody, ""),
}
OURS = PLAIN | {
    "babysit, 1 % (default)": (Babysit, ""),
    "babysit, 0.5 %": (BabysitHalf, ""),
    "babysit, never sampling (idle)": (BabysitIdle, ""),
}
# In rounds of their own, with plain blocks of their own: their threads work on after a block has ended, and that time
# would be charged to whoever comes next.
OTHERS = PLAIN | {
    f"wandb.watch all, every {LOG_EVERY}": (Wandb, "wandb"),
    "TensorBoard histograms, every step": (TensorBoard, "tensorboard"),
}


class Condition:
    """One model trained in one way, block by block."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, observer: type[Nobody]) -> None:
        self.model, self.optimizer = model, optimizer
        self.observer = observer(model, optimizer)

    def block(self, batches: list[tuple[Tensor, Tensor]], steps: int) -> float:
        """Seconds of CPU that so many steps took."""
        self.observer.begin()
        start = time.process_time()
        for step in range(steps):
            inputs, labels = batches[step % len(batches)]
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(inputs), labels)
            loss.backward()
            self.optimizer.step()
            self.observer.step(loss)
        seconds = time.process_time() - start
        self.observer.end()
        return seconds


def trainings(
    build: Callable[[], nn.Module], observers: dict[str, type[Nobody]], *, copies: bool
) -> dict[str, Condition]:
    """One condition an observer, on one model for all or on a copy for each."""

    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = build()
        return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    one = made()
    return {name: Condition(*(made() if copies else one), observer) for name, observer in observers.items()}


def idle(rounds: int) -> str:
    """Microseconds a step that a watch costs which never samples, on a network of 100 weights."""
    conditions = trainings(
        lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)),
        {"plain": Nobody, "control": Nobody, "idle": BabysitIdle},
        copies=False,
    )
    generator, steps = torch.Generator().manual_seed(1), 1000  # short blocks would measure how hooks come and go
    batches = [(torch.randn(16, 8, generator=generator), torch.randint(0, 3, (16,), generator=generator))]
    for _ in range(20):  # far past the steps that are sampled whatever the budget
        conditions["idle"].block(batches, steps)
    found: dict[str, list[float]] = {"control": [], "idle": []}
    order, plain_step = random.Random(0), []
    for _ in range(rounds):
        seconds = {
            name: conditions[name].block(batches, steps) for name in order.sample(list(conditions), len(conditions))
        }
        plain_step.append(seconds["plain"] / steps)
        for name, values in found.items():
            values.append((seconds[name] - seconds["plain"]) / steps)
    said = [f"Hooks alone, {rounds} rounds of {steps} steps of {1e6 * statistics.median(plain_step):.0f} us:"]
    for name, values in found.items():
        low, middle, high = (1e6 * value for value in statistics.quantiles(values, n=4))
        said.append(f"{name} {middle:+.1f} us a step ({low:+.1f} … {high:+.1f})")
    return " ".join(said)


def measure(title: str, choice: dict[str, tuple[type[Nobody], str]], rounds: int) -> list[str]:
    """The rows of some conditions on one network, as lines of Markdown."""
    build, shape, steps = NETWORKS[title]
    generator = torch.Generator().manual_seed(1)
    batches = [
        (torch.randn(shape, generator=generator), torch.randint(0, 10, shape[:1], generator=generator))
        for _ in range(8)
    ]
    wanted = {
        name: observer for name, (observer, needs) in choice.items() if not needs or importlib.util.find_spec(needs)
    }
    conditions = trainings(build, wanted, copies=choice is OTHERS)
    for name, condition in conditions.items():  # past the dense beginning; the others only warm up
        condition.block(batches, 4000 if name.startswith("babysit") and steps > 100 else 4 * steps)
    ratios: dict[str, list[float]] = {name: [] for name in conditions}
    order, plain_step = random.Random(0), []
    for _ in range(rounds):
        seconds = {
            name: conditions[name].block(batches, steps) for name in order.sample(list(conditions), len(conditions))
        }
        base = (seconds["plain"] + seconds["plain again (control)"]) / 2
        plain_step.append(base / steps)
        for name, value in seconds.items():
            # The two plain models are compared with each other, everything else with their mean.
            ratios[name].append(value / seconds["plain"] if name == "plain again (control)" else value / base)
    lines = [f"| *plain step {1e3 * statistics.median(plain_step):.2f} ms; {rounds} rounds of {steps} steps* | | | |"]
    for name in list(conditions)[1:]:
        low, middle, high = statistics.quantiles(ratios[name], n=4)
        lines.append(
            f"| {name} | {100 * (middle - 1):+.2f} % | {100 * (low - 1):+.2f} … {100 * (high - 1):+.2f} % "
            f"| {conditions[name].observer.remark()} |"
        )
    return lines


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=40)
    rounds = ask.parse_args().rounds
    torch.set_num_threads(1)
    os.environ.setdefault("WANDB_SILENT", "true")
    with contextlib.suppress(BrokenPipeError):
        print(f"{idle(3 * rounds)}\n", flush=True)
        for title in NETWORKS:
            print(f"### {title}\n\n| condition | overhead | quartiles | |\n|---|---|---|---|", flush=True)
            for choice, share in ((OURS, 1), (OTHERS, 4)):  # the others are so far off that fewer rounds tell
                print("\n".join(measure(title, choice, max(4, rounds // share))), flush=True)
            print()


if __name__ == "__main__":
    main()
