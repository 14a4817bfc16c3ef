"""The parts of synthetic runs: curves, layer metrics, experiments, trials, data."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from babysit.analysis.verdict import concluded
from babysit.records.arrays import Array
from babysit.records.curves import Curves, Series
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.model_summary import (
    Layer,
    ModelSummary,
    Objective,
    OptimizerInfo,
    ParameterGroup,
    TargetKind,
    Task,
)
from babysit.records.run import Environment, Overhead, Run, Status
from babysit.records.trial import Rung, StageRange, Trial, TrialState

_ENVIRONMENT: Final = Environment(
    python="3.11.9", torch="2.13.0", babysit="0.1.0", platform="Linux x86_64", device="cpu", threads=2
)


def base(run_id: str, **fields: Any) -> Run:
    """Return a finished run with this id, these fields and the verdict they imply."""
    times = {"created": "2026-03-01T10:15:00Z", "ended": "2026-03-01T10:16:12Z"}
    config = {"lr": 1e-3, "batch_size": 64, "optimizer": "adam", "seed": 0}
    given = {"status": Status.FINISHED, "environment": _ENVIRONMENT, "config": config, **times, **fields}
    return concluded(Run(id=run_id, **given))


def overhead(steps: int) -> Overhead:
    """Return the monitoring overhead of this number of steps."""
    return Overhead(
        budget=0.01, share=0.0063, seconds=3.5e-4 * steps, sampled_steps=len(sampled(steps)), steps=steps, every=32
    )


def noise(length: int, seed: int) -> Array:
    """Return Gaussian noise of standard deviation one."""
    return np.random.default_rng(seed).normal(size=length)


def falling(steps: int, *, start: float, end: float, seed: int) -> Array:
    """Return a loss curve by step: a fast, then slow decrease with batch noise."""
    shape = 1 / (1 + np.arange(steps) / (0.03 * steps)) ** 1.6
    return (end + (start - end) * shape) * np.exp(0.16 * noise(steps, seed) * np.linspace(0.15, 1, steps))


def by_epoch(values: Array, steps: int, *, std: float) -> Series:
    """Return one value after each epoch, evenly distributed over the steps."""
    after = np.linspace(0, steps, len(values) + 1)[1:].astype("int64") - 1
    return Series(steps=after, values=values + std * noise(len(values), len(values)))


def curves(losses: Array, more: dict[str, Series] | None = None, *, lr: float = 1e-3) -> Curves:
    """Return training loss, learning rate and gradient norm, and other curves by name."""
    steps = np.arange(len(losses), dtype="int64")
    series = {
        "train/loss": Series(steps=steps, values=losses),
        "lr": Series(steps=steps, values=np.full(len(losses), lr)),
        "gradient_norm": Series(steps=steps, values=0.4 * np.exp(0.2 * noise(len(losses), 9))),
    }
    return Curves(series=series | (more or {}))


def sampled(steps: int) -> Array:
    """Return the steps that a monitor samples: the first twenty, then at growing distances of at most 32."""
    chosen = list(range(min(20, steps)))
    while chosen and chosen[-1] < steps - 1:
        chosen.append(chosen[-1] + min(32, max(1, int(0.15 * chosen[-1]))))
    return np.array([step for step in chosen if step < steps], dtype="int64")


def layer_metrics(layers: tuple[str, ...], steps: Array, *, update: float = 1e-3) -> LayerMetrics:
    """Return layer metrics of a network that learns well; `update` is the typical update ratio."""
    generator = np.random.default_rng(11)
    shape = (len(steps), len(layers))

    def around(value: float, std: float) -> Array:
        own = generator.normal(size=(1, len(layers)))  # each layer has its own level
        return (value * np.exp(std * (generator.normal(size=shape) * 0.4 + own))).astype("float32")

    share = np.clip(around(0.05, 0.6), 0, 1)
    fading = (1 / (1 + steps / max(1, steps[-1] if len(steps) else 1) * 4))[:, None].astype("float32")
    values = {
        "activation_mean": around(0.35, 0.2),
        "activation_std": around(0.8, 0.3),
        "zeros": np.clip(around(0.5, 0.1), 0, 1),
        "dead": share.copy(),
        "saturated": np.full(shape, np.nan, dtype="float32"),  # no layer here saturates
        "gradient_rms": around(3e-3, 0.5) * fading,
        "weight_rms": around(0.1, 0.1),
        "update_ratio": around(update, 0.4) * (0.4 + 0.6 * fading),
        "nonfinite": np.zeros(shape, dtype="float32"),
    }
    return LayerMetrics(layers=layers, steps=steps, values=values)


def model_summary(layers: tuple[str, ...], *, lr: float = 1e-3) -> ModelSummary:
    """Return the summary of a ReLU network with these layers for ten classes, with Adam."""
    last = len(layers) - 1
    made = tuple(
        Layer(
            name=name, kind="Linear", order=order, parameter_names=(f"{name}.weight", f"{name}.bias"), parameters=4160,
            weight_shape=(64, 64), fan_in=64, has_bias=True, activation="" if order == last else "relu",
            is_output=order == last,
        )
        for order, name in enumerate(layers)
    )  # fmt: skip
    objective = Objective(loss="cross_entropy", target_kind=TargetKind.INDICES, outputs=10, task=Task.CLASSES)
    total = 4160 * len(layers)
    groups = (ParameterGroup(lr=lr, parameters=total, tensors=2 * len(layers)),)
    return ModelSummary(
        model="Sequential", layers=made, objectives=(objective,), parameters=total, trainable_parameters=total,
        optimizers=(OptimizerInfo(kind="Adam", groups=groups),), batch_size=64,
    )  # fmt: skip


def digits() -> DataProfile:
    """Return the profile of the bundled digits."""
    splits = tuple(
        SplitProfile(
            split=split, samples=samples, input_shape=(64,), low=0.0, high=16.0, mean=4.88, std=6.02,
            constant_features=3, class_counts=(samples // 10,) * 10,
        )
        for split, samples in (("train", 1257), ("validation", 270), ("test", 270))
    )  # fmt: skip
    return DataProfile(
        source="digits", kind="image", class_names=tuple("0123456789"), splits=splits,
        preprocessing="standardized by the training split",
    )  # fmt: skip


def experiments() -> tuple[ExperimentResult, ...]:
    """Return the four experiments before training, all passed."""
    tries = np.arange(100)
    lrs = np.logspace(-6, 1, 100)
    fall = 2.31 - 1.9 / (1 + np.exp(-(np.log10(lrs) + 2.4) * 3.2))
    losses = fall + np.where(lrs > 0.3, (lrs / 0.3) ** 2 - 1, 0) + 0.05 * noise(100, 21)
    valid = losses < 3 * 2.31
    tries, lrs, losses = tries[valid], lrs[valid], losses[valid]
    smoothed = np.convolve(np.pad(losses, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    tiny = np.concatenate([2.4 * np.exp(-np.arange(64) / 12.0), [0.011]])
    right = np.minimum(1, 0.1 + np.arange(65) / 40)

    def along(steps: Array, values: Array) -> Series:
        return Series(steps=steps, values=values)

    return (
        ExperimentResult(
            name="initial-loss", outcome=Outcome.PASS, measured={"loss": 2.3112}, expected={"loss": 2.302585},
            message="the loss before training is 2.31; chance level is ln 10 = 2.303",
            seconds=0.02,
        ),
        ExperimentResult(
            name="initial-loss-regularized", outcome=Outcome.PASS, measured={"loss": 3.0712, "strength": 0.004},
            expected={"loss": 3.0701}, message="an L2 penalty raises the loss from 2.311 to 3.071, as expected",
            seconds=0.02,
        ),
        ExperimentResult(
            name="overfit-tiny", outcome=Outcome.PASS, measured={"loss": 0.011, "score": 1.0, "steps": 64.0},
            expected={"loss": 0.023, "score": 1.0}, message="20 samples are memorized after 64 steps",
            curves={"loss": along(np.arange(65), tiny), "score": along(np.arange(65), right)}, seconds=0.4,
        ),
        ExperimentResult(
            name="lr-range", outcome=Outcome.PASS, measured={"suggested": 4.1e-3, "low": 3e-4, "high": 0.21},
            message="suggested LR 4e-3: the loss decreases fastest there; learning rates from 3e-4 to 0.2 are "
            "usable", seconds=1.1,
            curves={"loss": along(tries, losses), "smoothed": along(tries, smoothed), "lr": along(tries, lrs)},
        ),
    )  # fmt: skip


def trials(*, best_lr: float = 3e-3) -> tuple[Trial, ...]:
    """Return twenty-four trials in two stages, some stopped early; `best_lr` is where the metric peaks."""
    generator = np.random.default_rng(31)
    made = []
    for number in range(24):
        stage, low, high = ("coarse", -4.0, -1.0) if number < 16 else ("fine", -3.1, -2.0)
        lr, decay = 10 ** generator.uniform(low, high), 10 ** generator.uniform(-6, -2)
        metric = min(0.97 - 0.09 * np.log10(lr / best_lr) ** 2 + 0.01 * generator.normal(), 0.995)
        failed = lr > 0.0101
        made.append(
            Trial(
                number=number, stage=stage, parameters={"lr": float(lr), "weight_decay": float(decay)},
                state=TrialState.PRUNED if failed else TrialState.COMPLETE, metric=None if failed else float(metric),
                reason="loss above 3x the initial loss" if failed else "", step=7 if failed else 80, initial_cost=2.31,
                seconds=0.1 if failed else 0.8, rungs=() if failed else rungs(float(metric), generator),
            )
        )  # fmt: skip
    return tuple(made)


def rungs(metric: float, generator: np.random.Generator) -> tuple[Rung, ...]:
    """Return a rung after one epoch and one at the end."""
    early = metric - 0.1 + 0.02 * float(generator.normal())
    return Rung(epochs=1, step=20, metric=early), Rung(epochs=4, step=80, metric=metric)


def ranges() -> tuple[StageRange, ...]:
    """Return the ranges of both stages."""
    narrowed = "narrowed around the best quarter of the coarse stage"
    return (
        StageRange(stage="coarse", parameter="lr", low=1e-4, high=1e-1, why="as given"),
        StageRange(stage="coarse", parameter="weight_decay", low=1e-6, high=1e-2, why="as given"),
        StageRange(stage="fine", parameter="lr", low=8e-4, high=1e-2, why=narrowed),
        StageRange(
            stage="fine", parameter="weight_decay", low=1e-6, high=1e-2, why="unchanged: it hardly matters here"
        ),
    )
