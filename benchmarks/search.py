"""How fast many networks are trained at once: steps x configurations a second, beside a plain PyTorch loop.

Run with `python benchmarks/search.py`. Every condition trains 64 configurations' worth of the same network on the same
batches: a plain eager loop with torch.optim (batches taken from one tensor by index, the fastest way; and, to compare,
from a DataLoader, as most loops do), each backend of the population by itself, and the population as a search uses it
(`auto`: calibrated, with its batches, its looks at the costs and the evaluation on validation samples). A round runs
one block of each in random order; a block's cost is processor time of the process, on one thread, which a busy machine
disturbs less than the clock. The figure is the ratio to the plain blocks of the same round: median and quartiles over
rounds.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from babysit.data.batches import shuffled
from babysit.data.samples import Samples
from babysit.records.model_summary import Task
from babysit.records.trial import Value
from babysit.tuning.executors.base import TrainingTask, TrialConfig
from babysit.tuning.vectorized.backends import ONE_BY_ONE, SHARED_INPUT, SIDE_BY_SIDE, Backend
from babysit.tuning.vectorized.compiling import matmul_precision
from babysit.tuning.vectorized.executor import VectorizedExecutor

PLENTY = 10_000_000  # steps that a long search would have ahead: compiling pays


def small(_: dict[str, Value]) -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def lecture(_: dict[str, Value]) -> nn.Module:
    return nn.Sequential(nn.Linear(3072, 50), nn.ReLU(), nn.Linear(50, 10))


def convolutions(_: dict[str, Value]) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 8 * 8, 10)),
    )


@dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[dict[str, Value]], nn.Module]
    shape: tuple[int, ...]
    batch: int
    steps: int  # of an epoch
    members: int
    backends: tuple[Backend, ...]
    targets: str


CASES = {
    "small": Case(
        "MLP 64-32-10, batch 64",
        small,
        (64,),
        64,
        50,
        64,
        (
            Backend(strategy=SIDE_BY_SIDE, width=64),
            Backend(strategy=SHARED_INPUT, width=64),
            Backend(strategy=SIDE_BY_SIDE, width=16, compiled=True),
            Backend(strategy=SIDE_BY_SIDE, width=64, compiled=True),
            Backend(strategy=SHARED_INPUT, width=64, compiled=True),
        ),
        "11 in float32",
    ),
    "lecture": Case(
        "MLP 3072-50-10, batch 128",
        lecture,
        (3072,),
        128,
        128,
        8,
        (
            Backend(strategy=SIDE_BY_SIDE, width=4),
            Backend(strategy=SHARED_INPUT, width=4),
            Backend(strategy=SHARED_INPUT, width=4, compiled=True),
            Backend(strategy=SHARED_INPUT, width=4, compiled=True, matmul="medium"),
            Backend(strategy=SHARED_INPUT, width=8, compiled=True, matmul="medium"),
            Backend(strategy=SHARED_INPUT, width=4, compiled=True, bf16=True),
            Backend(strategy=SHARED_INPUT, width=8, compiled=True, bf16=True),
        ),
        "2.4 in float32, 3.5 in bfloat16",
    ),
    "convolutions": Case(
        "CNN of two 3x3 convolutions, 32x32x3, batch 64",
        convolutions,
        (3, 32, 32),
        64,
        24,
        2,
        (
            Backend(strategy=SIDE_BY_SIDE, width=2),
            Backend(strategy=ONE_BY_ONE, width=1),
            Backend(strategy=ONE_BY_ONE, width=1, compiled=True),
            Backend(strategy=ONE_BY_ONE, width=1, compiled=True, bf16=True),
            Backend(strategy=ONE_BY_ONE, width=1, channels_last=True),
            Backend(strategy=ONE_BY_ONE, width=1, channels_last=True, bf16=True),
            Backend(strategy=ONE_BY_ONE, width=1, channels_last=True, compiled=True, bf16=True),
        ),
        "1 in float32, 2 in bfloat16",
    ),
}


def samples(case: Case, count: int) -> Samples:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 10, (count,), generator=generator)
    x = torch.randn(count, *case.shape, generator=generator)
    x.flatten(1)[torch.arange(count), y] += 2.0
    names = tuple(str(digit) for digit in range(10))
    return Samples(x=x, y=y, task=Task.CLASSES, kind="table", class_names=names, source="made up")


Block = Callable[[], int]  # trains for a while and gives the number of steps of all members


def indexed(case: Case, train: Samples) -> Callable[[], Iterator[tuple[Tensor, Tensor]]]:
    epochs = itertools.count()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for places in shuffled(len(train), seed=0, epoch=next(epochs)).split(case.batch):
            yield train.x[places], train.y[places]

    return batches


def loaded(case: Case, train: Samples) -> Callable[[], Iterator[tuple[Tensor, Tensor]]]:
    loader = DataLoader(TensorDataset(train.x, train.y), batch_size=case.batch, shuffle=True)
    return loader.__iter__


def plain(case: Case, batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> Block:
    model = case.build({})
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def block() -> int:
        steps = 0
        for x, y in batches():
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            steps += 1
        return steps

    return block


def engine(case: Case, workload: TrainingTask, backend: Backend | None) -> tuple[Block, list[str]]:
    """The population's own epoch; the members go on from block to block."""
    population = VectorizedExecutor(replace(workload, steps=PLENTY), backend=backend)
    members = [
        TrialConfig(number=number, parameters={"lr": 1e-3 / (1 + number), "weight_decay": 1e-4}, seed=0)
        for number in range(case.members)
    ]
    list(population.advance(members, epochs=1))

    def block() -> int:
        return sum(len(advance.costs) for advance in population.advance(members, epochs=1))

    advances = list(population.advance(members, epochs=1))
    return block, [*population.notes, f"backend: {', '.join(sorted({advance.backend for advance in advances}))}"]


def flops_of(case: Case) -> int:
    """Floating point operations of one step of one network: forward and backward."""
    model = case.build({})
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(torch.randn(case.batch, *case.shape)), torch.zeros(case.batch).long()).backward()
    return int(counter.get_total_flops())


def peak(dtype: torch.dtype) -> float:
    """The fastest matrix product of several shapes under either precision setting, in operations a second."""
    best = 0.0
    for rows, inner, columns in ((1024, 1024, 1024), (512, 2048, 512), (128, 3072, 400), (2048, 512, 2048)):
        one, other = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        for precision in ("highest", "medium"):
            with matmul_precision(precision):
                for _ in range(12):
                    began = time.process_time()
                    torch.mm(one, other)
                    best = max(best, 2 * rows * inner * columns / (time.process_time() - began))
    return best


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def measure(case: Case, *, rounds: int, block_seconds: float) -> None:
    workload = TrainingTask(
        build=case.build,
        train=samples(case, case.batch * case.steps),
        validation=samples(case, case.batch),
        optimizer="momentum",
        batch_size=case.batch,
        device="cpu",
    )
    conditions: dict[str, Block] = {
        "plain PyTorch": plain(case, indexed(case, workload.train)),
        "plain PyTorch again": plain(case, indexed(case, workload.train)),
        "plain PyTorch with a DataLoader": plain(case, loaded(case, workload.train)),
    }
    notes: dict[str, list[str]] = {}
    for backend in case.backends:
        conditions[str(backend)], notes[str(backend)] = engine(case, workload, backend)
    for precision in ("32", "auto"):
        name = f"auto, precision {precision}"
        conditions[name], notes[name] = engine(case, replace(workload, precision=precision), None)
    speeds: dict[str, list[float]] = {name: [] for name in conditions}
    for _ in range(rounds):
        for name in random.sample(list(conditions), len(conditions)):
            began, steps = time.process_time(), 0
            while (spent := time.process_time() - began) < block_seconds or steps == 0:
                steps += conditions[name]()
            speeds[name].append(steps / spent)
    report(case, speeds, notes)


def report(case: Case, speeds: dict[str, list[float]], notes: dict[str, list[str]]) -> None:
    flops = flops_of(case)
    peaks = {False: peak(torch.float32), True: peak(torch.bfloat16)}
    print(f"\n## {case.name}\n")
    print(
        f"{flops / 1e6:.1f} million operations a step; matrix products reach {peaks[False] / 1e9:.0f} (float32) and "
        f"{peaks[True] / 1e9:.0f} (bfloat16) thousand million a second. Wanted: {case.targets}.\n"
    )
    print("| | steps x configurations a second | times plain PyTorch (quartiles) | share of the peak |")
    print("|---|---|---|---|")
    base = speeds["plain PyTorch"]
    for name, values in speeds.items():
        low, middle, high = quartiles([value / plain for value, plain in zip(values, base, strict=True)])
        told = " ".join(notes.get(name, []))
        share = statistics.median(values) * flops / peaks["bfloat16" in name or "bfloat16" in told]
        shown = f"{statistics.median(values):,.0f} | {middle:.2f} ({low:.2f} to {high:.2f}) | {share:.0%}"
        print(f"| {name} | {shown} |")
    for name in speeds:
        for note in notes.get(name, []) if name.startswith("auto") else []:
            print(f"\n{name}: {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="case", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of processor time a block")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    assert math.isfinite(options.seconds)
    for name in options.cases:
        measure(CASES[name], rounds=options.rounds, block_seconds=options.seconds)


if __name__ == "__main__":
    main()
