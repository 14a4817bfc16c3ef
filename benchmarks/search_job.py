"""How long a whole search takes: the lecture's coarse stage, beside Optuna with a plain loop and Ray Tune with ASHA.

Run with `python benchmarks/search_job.py` on a quiet machine. The stage (CS231n 2017, lecture 6): 100 configurations,
learning rate and weight decay from 10 ** uniform(-6, -3) and 10 ** uniform(-5, 5), five epochs each; CIFAR-10 with
49,000 training and 1,000 validation images, the mean image subtracted; a network 3072-50-10 with weights 1e-4 * randn;
batches of 100, momentum 0.9, the learning rate multiplied by 0.9 each epoch. All conditions try the same 100
configurations from the same seeds on the same data for the same epochs. `--lecture` then goes on from coarse to fine,
without help.

Times include everything: starting workers, calibrating, compiling, sampling, storage. Beside the clock stands processor
time, of workers too, which other work on the machine disturbs less. The share of sampling and storage is all that was
not spent in training.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import Splits
from babysit.records.model_summary import Task
from babysit.records.trial import Value
from babysit.tuning.executors.base import Executor, TrainingTask, TrainResult, TrialConfig
from babysit.tuning.executors.processes import processes
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.search import SearchResult, search
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Categorical, Range, Space
from babysit.tuning.vectorized.executor import VectorizedExecutor

SHARED = Path(os.environ.get("BABYSIT_SHARED", Path(__file__).parents[2] / "shared"))
ARCHIVE = SHARED / "data" / "cifar10-jpeg.tar.xz"
TRIALS, EPOCHS, BATCH, VALIDATION = 100, 5, 100, 1000
TESTED = 1_000_000  # stands for the number of an image of the test set
RANGES = {"lr": Range(1e-6, 1e-3), "weight_decay": Range(1e-5, 1e5)}
SPACE = Space({**RANGES, "lr_decay": Categorical((0.9,))})
# From coarse to fine the decay is searched as well: as the share of the learning rate that is left at a stage's end,
# since what an epoch should take off depends on how many there are.
WHOLE_SPACE = Space({**RANGES, "lr_end": Range(0.01, 1.0)})
FINE_TRIALS, FINE_EPOCHS = 40, 40


def cifar() -> Splits:
    """49,000 training, 1,000 validation and 10,000 test images, the mean image subtracted; decoded once and cached.

    The lecture validates on the last thousand of the 50,000. In the archive images are numbered within their class, so
    the last hundred of each class are nearest to these.
    """
    cache = Path(tempfile.gettempdir()) / "babysit-cifar10-numbered.npz"
    if not cache.exists():
        samples = load_data(str(ARCHIVE))
        with tarfile.open(ARCHIVE) as archive:  # in the order in which the images were read
            names = [Path(member.name) for member in archive if member.isfile() and member.name.endswith(".jpg")]
        places = np.array([int(name.stem) if name.parts[0] == "train" else TESTED for name in names])
        assert len({(name.parts[1], int(y)) for name, y in zip(names, samples.y, strict=True)}) == 10  # the same order
        np.savez(cache, x=samples.x.to(torch.uint8).numpy(), y=samples.y.numpy(), places=places)
    with np.load(cache) as kept:
        x, y = torch.from_numpy(kept["x"]).flatten(1).float(), torch.from_numpy(kept["y"])
        places = kept["places"]
    first = 5_000 - VALIDATION // 10
    train, validation, test = (
        np.flatnonzero(mask) for mask in (places < first, (places >= first) & (places < TESTED), places == TESTED)
    )
    x -= x[torch.from_numpy(train)].mean(0)
    digits = tuple(map(str, range(10)))
    whole = Samples(x=x, y=y, task=Task.CLASSES, kind="table", class_names=digits, source="cifar10")
    return Splits(train=whole.take(train), validation=whole.take(validation), test=whole.take(test))


def network(_: dict[str, Value]) -> nn.Module:
    """The lecture's, with its small weights."""
    model = nn.Sequential(nn.Linear(3072, 50), nn.ReLU(), nn.Linear(50, 10))
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=1e-4)
        nn.init.zeros_(layer.bias)
    return model


@dataclass
class Row:
    name: str
    seconds: float
    best: float
    trials: int
    steps: int
    processor_seconds: float | None = None
    share: float | None = None  # of sampling and storage


def processor_seconds() -> float:
    """Of this process and of all that it began and that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


class Timed:
    """An executor that measures the time spent in another one."""

    def __init__(self, inner: Executor) -> None:
        self.inner, self.seconds, self.steps = inner, 0.0, 0
        self.width = inner.width

    @property
    def notes(self) -> Sequence[str]:
        return self.inner.notes

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        results = iter(self.inner.advance(members, epochs=epochs))
        while True:
            began = time.perf_counter()
            result = next(results, None)
            self.seconds += time.perf_counter() - began
            if result is None:
                return
            self.steps += len(result.costs)
            yield result

    def release(self, numbers: Iterable[int]) -> None:
        self.inner.release(numbers)

    def save(self, folder: Path) -> None:
        self.inner.save(folder)

    def load(self, folder: Path) -> None:
        self.inner.load(folder)

    def close(self) -> None:
        self.inner.close()


def ours(
    name: str, splits: Splits, make: Callable[[TrainingTask], Executor], *, halving: float, precision: str
) -> tuple[Row, SearchResult]:
    """The coarse stage as babysit searches it, written down in a folder as every search of the command line is."""
    settings = SearchSettings(
        stages=(Stage("coarse", TRIALS, EPOCHS),),
        halving=halving,
        precision=precision,
        finalists=0,
        extra_stages=0,
        optimizer="momentum",
        batch_size=BATCH,
    )
    timed: list[Timed] = []

    def executor(workload: TrainingTask) -> Executor:
        began = time.perf_counter()
        timed.append(Timed(make(workload)))
        timed[0].seconds += time.perf_counter() - began
        return timed[0]

    with tempfile.TemporaryDirectory() as folder:
        began, spent = time.perf_counter(), processor_seconds()
        result = search(network, splits, space=SPACE, settings=settings, executor=executor, folder=folder)
        seconds, spent = time.perf_counter() - began, processor_seconds() - spent
    assert result.best is not None
    share = 1 - timed[0].seconds / seconds
    for note in (*result.plans, *result.notes):
        print(f"    {note}")
    return Row(name, seconds, result.best.metric or 0.0, len(result.trials), timed[0].steps, spent, share), result


def plain_training(
    x: torch.Tensor, y: torch.Tensor, *, lr: float, decay: float, held: tuple[torch.Tensor, torch.Tensor]
) -> Iterator[tuple[float, int]]:
    """A plain eager loop as one writes it; the validation accuracy and the steps of each epoch. NaN ends it."""
    torch.manual_seed(0)
    model = network({})
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for epoch in range(EPOCHS):
        order = torch.from_numpy(np.random.default_rng((0, epoch)).permutation(len(x)))
        loss = torch.zeros(())
        for start in range(0, len(x), BATCH):
            places = order[start : start + BATCH]
            loss = F.cross_entropy(model(x[places]), y[places])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            accuracy = float((model(held[0]).argmax(1) == held[1]).double().mean())
        yield accuracy, math.ceil(len(x) / BATCH)
        if not math.isfinite(float(loss)):
            return


def optuna_plain(splits: Splits, configurations: Sequence[dict[str, Any]], threads: int) -> Row:
    """Optuna's own loop around a plain training, the same configurations enqueued; the study in SQLite, as usual."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    train, held = splits.train, (splits.validation.x, splits.validation.y)
    steps = 0

    def objective(trial: optuna.Trial) -> float:
        nonlocal steps
        lr = trial.suggest_float("lr", 1e-6, 1e-3, log=True)
        decay = trial.suggest_float("weight_decay", 1e-5, 1e5, log=True)
        accuracy = 0.0
        for epoch, (accuracy, count) in enumerate(plain_training(train.x, train.y, lr=lr, decay=decay, held=held)):
            steps += count
            trial.report(accuracy, epoch)
        return accuracy

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        began, spent = time.perf_counter(), processor_seconds()
        study = optuna.create_study(
            direction="maximize", storage=f"sqlite:///{folder}/study.db", sampler=optuna.samplers.RandomSampler(seed=0)
        )
        for configuration in configurations:
            study.enqueue_trial({name: configuration[name] for name in ("lr", "weight_decay")})
        study.optimize(objective, n_trials=len(configurations))
        seconds, spent = time.perf_counter() - began, processor_seconds() - spent
    torch.set_num_threads(before)
    name = f"Optuna, plain PyTorch, {threads} thread{'s' * (threads > 1)}"
    return Row(name, seconds, study.best_value, len(configurations), steps, spent)


def ray_tune(splits: Splits, configurations: Sequence[dict[str, Any]]) -> Row:
    """Ray Tune with ASHA on two workers, one thread each; the samples in its object store."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["OMP_NUM_THREADS"] = "1"
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    def trainable(config: dict[str, Any], data: Any = None) -> None:
        torch.set_num_threads(1)
        x, y, held_x, held_y = (torch.from_numpy(array) for array in data)
        chosen = config["chosen"]
        training = plain_training(x, y, lr=chosen["lr"], decay=chosen["weight_decay"], held=(held_x, held_y))
        for accuracy, count in training:
            tune.report({"accuracy": accuracy, "steps": count})

    arrays = [part.numpy() for part in (splits.train.x, splits.train.y, splits.validation.x, splits.validation.y)]
    wanted = [{name: one[name] for name in ("lr", "weight_decay")} for one in configurations]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        tuner = tune.Tuner(
            tune.with_parameters(trainable, data=arrays),
            param_space={"chosen": tune.grid_search(wanted)},
            tune_config=tune.TuneConfig(
                metric="accuracy", mode="max", scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3)
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        seconds = time.perf_counter() - began
        ray.shutdown()
    frame = results.get_dataframe(filter_metric="accuracy", filter_mode="max")
    steps = int((results.get_dataframe()["training_iteration"] * 490).sum())
    return Row("Ray Tune, ASHA, 2 workers", seconds, float(frame["accuracy"].max()), len(configurations), steps)


def scaled(row: Row, part: int) -> Row:
    """What all trials would take, from every so many-th; the name says so."""
    if part == 1:
        return row
    spent = None if row.processor_seconds is None else row.processor_seconds * part
    name = f"{row.name} (scaled up from {row.trials} of {TRIALS} trials)"
    return Row(name, row.seconds * part, row.best, TRIALS, row.steps * part, spent)


def lecture(splits: Splits, seed: int, halving: float) -> None:
    """Coarse, then fine, from the lecture's ranges, without help."""
    settings = SearchSettings(
        stages=(Stage("coarse", TRIALS, EPOCHS), Stage("fine", FINE_TRIALS, FINE_EPOCHS)),
        precision="auto",
        halving=halving,
        seed=seed,
        finalists=2,
        finalist_seeds=2,
        optimizer="momentum",
        batch_size=BATCH,
    )
    began = time.perf_counter()
    result = search(network, splits, space=WHOLE_SPACE, settings=settings)
    print(f"\nthe lecture's search, coarse to fine, seed {seed}: {time.perf_counter() - began:.0f} s")
    for piece in result.ranges:
        print(f"    {piece.stage}: {piece.parameter} {piece.low:.2g} to {piece.high:.2g}, {piece.why}")
    for stage in dict.fromkeys(trial.stage for trial in result.trials):
        metrics = [trial.metric for trial in result.trials if trial.stage == stage and trial.metric is not None]
        diverged = sum(t.stage == stage and t.reason.startswith("cost ") for t in result.trials)
        print(f"    {stage}: best {max(metrics):.3f} of {len(metrics)}, {diverged} diverged")
    print(f"    best: {result.best}\n    mean over new seeds {result.mean} ± {result.std}")
    print(f"    the best on 10,000 test images, which the search never saw: {tested(splits, result):.4f}")
    for note in (*result.plans, *result.notes):
        print(f"    {note}")


def tested(splits: Splits, result: SearchResult) -> float:
    """The test accuracy of the best of the fine stage, trained once more alone."""
    fine = [trial for trial in result.trials if trial.stage == "fine" and trial.metric is not None]
    best = max(fine, key=lambda trial: trial.metric or 0.0)
    workload = TrainingTask(
        build=network, train=splits.train, validation=splits.test, optimizer="momentum", batch_size=BATCH, device="cpu"
    )
    alone = TrialConfig(number=0, parameters=best.parameters, seed=best.seed, epochs=best.level)
    (advance,) = SequentialExecutor(workload).advance([alone], epochs=best.level)
    return advance.metric or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="*", default=["ours", "optuna", "ray"], help="ours, quick or two (some of ours), optuna, ray"
    )
    parser.add_argument("--lecture", type=int, nargs="*", default=[], help="seeds of searches from coarse to fine")
    parser.add_argument("--halving", type=float, default=1.0, help="of the lecture's search; 1 trains all to the end")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="Optuna's loop once with each")
    parser.add_argument("--part", type=int, default=1, help="others train every so many-th trial; times are scaled up")
    chosen = parser.parse_args()
    if not ARCHIVE.exists():
        raise SystemExit(f"CIFAR-10 is not here ({ARCHIVE})")
    splits = cifar()
    torch.set_num_threads(1)
    two = processes(2, inner=VectorizedExecutor)
    conditions = [
        ("babysit, all to the end", VectorizedExecutor, 1.0, "32"),
        ("babysit, all to the end, bf16 where right", VectorizedExecutor, 1.0, "auto"),
        ("babysit, halving", VectorizedExecutor, 3.0, "32"),
        ("babysit, halving, bf16 where right", VectorizedExecutor, 3.0, "auto"),
        ("babysit, all to the end, 2 processes", two, 1.0, "32"),
        ("babysit, all to the end, bf16, 2 processes", two, 1.0, "auto"),
        ("babysit, halving, 2 processes", two, 3.0, "32"),
        ("babysit, halving, bf16, 2 processes", two, 3.0, "auto"),
    ]
    rows: list[Row] = []
    configurations: list[dict[str, Any]] = []
    ways = {"ours": conditions, "quick": conditions[2::-2], "two": conditions[4:]}
    wanted = [condition for way, some in ways.items() if way in chosen.only for condition in some]
    for name, make, halving, precision in wanted:
        print(name, flush=True)
        row, result = ours(name, splits, make, halving=halving, precision=precision)
        rows.append(row)
        configurations = [dict(trial.parameters) for trial in result.trials]
        print(f"    {row.seconds:.1f} s, best {row.best:.3f}", flush=True)
    baselines: list[Callable[[], Row]] = []
    part = configurations[:: chosen.part]
    if "optuna" in chosen.only:
        baselines += [partial(optuna_plain, splits, part, threads) for threads in chosen.threads]
    if "ray" in chosen.only:
        baselines.append(partial(ray_tune, splits, part))
    for baseline in baselines:
        rows.append(scaled(baseline(), chosen.part))
        print(f"{rows[-1].name}: {rows[-1].seconds:.1f} s, best {rows[-1].best:.3f}", flush=True)
    fastest = min((row.seconds for row in rows if not row.name.startswith("babysit")), default=math.nan)
    print(
        "\n| condition | seconds | times faster than the best other | processor seconds | best accuracy | steps | "
        "sampling and storage |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        share = "" if row.share is None else f"{row.share:.1%}"
        times = f"{fastest / row.seconds:.1f}"
        spent = "" if row.processor_seconds is None else f"{row.processor_seconds:.1f}"
        print(f"| {row.name} | {row.seconds:.1f} | {times} | {spent} | {row.best:.3f} | {row.steps:,} | {share} |")
    for seed in chosen.lecture:
        lecture(splits, seed, chosen.halving)


if __name__ == "__main__":
    main()
