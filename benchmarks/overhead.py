"""What watching costs: plain and watched steps in interleaved blocks, with a second plain model as the control.

Run with `make bench`. Every condition trains its own copy of the model on the same batches. A round runs one block of
each in random order, and a block's cost is its process CPU time, which a busy machine disturbs less than the clock;
the figure is the median over rounds of the ratio to the mean of the round's plain blocks.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.watcher.watch import Watch, watch


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "MLP 784-256-256-10, batch 128": (mlp, (128, 784), 150),
    "CNN of 3 convolutions, 32x32x3, batch 64": (cnn, (64, 3, 32, 32), 12),
}


class Condition:
    """One model trained in one way, block by block."""

    def __init__(self, name: str, build: Callable[[], nn.Module], overhead: float | None) -> None:
        torch.manual_seed(0)
        self.name = name
        self.model = build()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.watching: Watch | None = None
        if overhead is not None:
            self.watching = watch(self.model, self.optimizer, overhead=overhead).start()
            self.watching.pause()

    def block(self, batches: list[tuple[Tensor, Tensor]], steps: int) -> float:
        """Seconds of CPU that so many steps took."""
        if self.watching is not None:
            # Only the watch under test listens during its block: the others would hear these steps as strangers.
            self.watching.resume()
        start = time.process_time()
        for step in range(steps):
            inputs, labels = batches[step % len(batches)]
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(inputs), labels)
            loss.backward()
            self.optimizer.step()
        seconds = time.process_time() - start
        if self.watching is not None:
            self.watching.pause()
        return seconds


def measure(title: str, rounds: int) -> None:
    build, shape, steps = NETWORKS[title]
    generator = torch.Generator().manual_seed(1)
    batches = [
        (torch.randn(shape, generator=generator), torch.randint(0, 10, shape[:1], generator=generator))
        for _ in range(8)
    ]
    conditions = [
        Condition("plain", build, None),
        Condition("plain again (control)", build, None),
        Condition("watched, 1 % (default)", build, 0.01),
        Condition("watched, 0.5 %", build, 0.005),
        Condition("watched, never sampling (idle)", build, 1e-9),
    ]
    for condition in conditions:  # past the dense beginning and the log-spaced samples after it
        condition.block(batches, steps * 4)
    ratios: dict[str, list[float]] = {condition.name: [] for condition in conditions}
    order = random.Random(0)
    plain_step = []
    for _ in range(rounds):
        shuffled = order.sample(conditions, len(conditions))
        seconds = {condition.name: condition.block(batches, steps) for condition in shuffled}
        base = (seconds["plain"] + seconds["plain again (control)"]) / 2
        plain_step.append(base / steps)
        for name, value in seconds.items():
            reference = seconds["plain again (control)"] if name == "plain" else seconds["plain"]
            ratios[name].append(value / (reference if "plain" in name else base))
    print(f"\n{title}: plain step {1e3 * statistics.median(plain_step):.2f} ms, {rounds} rounds of {steps} steps")
    for condition in conditions[1:]:
        values = sorted(ratios[condition.name])
        low, high = values[len(values) // 4], values[(3 * len(values)) // 4]
        sampling = f", a sample every {condition.watching._schedule.between + 1} steps" if condition.watching else ""
        print(
            f"  {condition.name:32s} {100 * (statistics.median(values) - 1):+6.2f} %"
            f"  (quartiles {100 * (low - 1):+.2f} .. {100 * (high - 1):+.2f}){sampling}"
        )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=40)
    rounds = ask.parse_args().rounds
    torch.set_num_threads(1)
    for title in NETWORKS:
        measure(title, rounds)


if __name__ == "__main__":
    main()
