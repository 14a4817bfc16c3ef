"""Synthetic runs, with and without problems, built from numbers alone: nothing is trained and torch is not needed.

They are for tests of stores, figures, reports and rules; the same call returns the same run.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from babysit.records.curves import Curves
from babysit.records.dataprofile import DataProfile
from babysit.records.events import Event, Events
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Finding, Fix, Severity
from babysit.records.run import Run
from babysit.records.trial import Trial, TrialState
from babysit.testing import synthetic_findings as findings
from babysit.testing import synthetic_parts as parts

_DIGITS_LAYERS: Final = ("hidden.0", "hidden.1", "hidden.2", "output")


def healthy_run() -> Run:
    """Return a full pipeline on the digits without problems: experiments, search, training, early stopping."""
    steps = 1200
    losses = parts.falling(steps, start=2.31, end=0.012, seed=1)
    validation = parts.by_epoch(0.085 + 2.0 * np.exp(-np.arange(30) / 2.2), steps, std=0.004)
    accuracy = parts.by_epoch(0.978 - 0.75 * np.exp(-np.arange(30) / 2.0), steps, std=0.002)
    train_accuracy = parts.by_epoch(0.999 - 0.76 * np.exp(-np.arange(30) / 1.9), steps, std=0.001)
    return parts.base(
        "20260301-101500-quiet-otter",
        name="digits",
        kind="pipeline",
        command="babysit run digits",
        model_summary=parts.model_summary(_DIGITS_LAYERS),
        data=parts.digits(),
        layer_metrics=parts.layer_metrics(_DIGITS_LAYERS, parts.sampled(steps)),
        curves=parts.curves(
            losses,
            {"val/loss": validation, "val/accuracy": accuracy, "train/accuracy": train_accuracy},
        ),
        experiments=parts.experiments(),
        trials=parts.trials(),
        ranges=parts.ranges(),
        events=Events(counts={"step": steps, "zero_grad": steps, "backward": steps, "evaluation": 30}, steps=steps),
        result={"test/accuracy": 0.9778, "val/accuracy": 0.9815, "best_step": 880.0},
        stop_reason="no better validation loss for 8 epochs",
        overhead=parts.overhead(steps),
        artifacts={"model": "babysit_runs/quiet-otter/model.pt"},
    )


def diverging_run() -> Run:
    """Return a run with a far too high learning rate: the loss grows, becomes infinite, then NaN."""
    steps = 160
    growth = 2.31 * np.exp(np.linspace(0, 95, steps)) * np.exp(parts.noise(steps, 2) * 0.6)
    losses = np.where(np.arange(steps) < 120, growth, np.inf)
    losses[128:] = np.nan
    sampled = parts.sampled(steps)
    layer_metrics = parts.layer_metrics(_DIGITS_LAYERS, sampled, update=0.4)
    values = dict(layer_metrics.values)
    wild = (np.exp(np.minimum(sampled, 120) / 8.0) * 1e-2)[:, None].astype("float32")
    values["gradient_rms"] = np.where(sampled[:, None] > 125, np.float32("nan"), values["gradient_rms"] * wild * 100)
    values["gradient_rms"][(sampled > 112) & (sampled <= 125)] = np.inf
    values["nonfinite"] = np.where(sampled[:, None] > 112, 64.0, 0.0).astype("float32").repeat(4, axis=1)
    return parts.base(
        "20260301-111500-loud-heron",
        name="digits with learning rate 1.0",
        command="babysit watch train.py --lr 1.0",
        model_summary=parts.model_summary(_DIGITS_LAYERS, lr=1.0),
        layer_metrics=msgspec.structs.replace(layer_metrics, values=values),
        curves=parts.curves(losses, lr=1.0),
        events=Events(counts={"step": steps, "nonfinite": 40}, kept=(Event(step=120, kind="nonfinite"),), steps=steps),
        findings=findings.DIVERGING,
        overhead=parts.overhead(steps),
        stop_reason="the loss is NaN since step 128",
    )


def dead_relu_run() -> Run:
    """Return a run in which half of a hidden layer's ReLU units die within the first hundred steps."""
    steps = 800
    sampled = parts.sampled(steps)
    layer_metrics = parts.layer_metrics(_DIGITS_LAYERS, sampled, update=2e-2)
    values = dict(layer_metrics.values)
    dying = 0.92 / (1 + np.exp(-(sampled - 60) / 12.0))
    values["dead"][:, 1] = dying
    values["gradient_rms"][:, 1] *= (1 - dying) + 1e-3
    return parts.base(
        "20260301-121500-pale-crane",
        name="dying units",
        command="babysit watch train.py",
        model_summary=parts.model_summary(_DIGITS_LAYERS, lr=0.1),
        layer_metrics=msgspec.structs.replace(layer_metrics, values=values),
        curves=parts.curves(parts.falling(steps, start=2.31, end=1.1, seed=3), lr=0.1),
        findings=findings.DEAD_UNITS,
        overhead=parts.overhead(steps),
    )


def overfit_run() -> Run:
    """Return a run that overfits: training continues long after the validation loss rises."""
    steps = 2400
    epochs = np.arange(60)
    validation = parts.by_epoch(0.9 + 1.4 * np.exp(-epochs / 4.0) + 0.022 * np.maximum(0, epochs - 12), steps, std=0.02)
    accuracy = parts.by_epoch(
        0.72 - 0.5 * np.exp(-epochs / 4.0) - 0.0008 * np.maximum(0, epochs - 15), steps, std=0.006
    )
    train_accuracy = parts.by_epoch(1.0 - 0.8 * np.exp(-epochs / 7.0), steps, std=0.004)
    return parts.base(
        "20260301-131500-eager-magpie",
        name="small data, large net",
        kind="fit",
        command="babysit fit flowers.csv --target species",
        model_summary=parts.model_summary(_DIGITS_LAYERS),
        data=parts.digits(),
        layer_metrics=parts.layer_metrics(_DIGITS_LAYERS, parts.sampled(steps)),
        curves=parts.curves(
            parts.falling(steps, start=2.31, end=0.002, seed=4),
            {"val/loss": validation, "val/accuracy": accuracy, "train/accuracy": train_accuracy},
        ),
        findings=findings.OVERFITTING,
        overhead=parts.overhead(steps),
    )


def search_run() -> Run:
    """Return a search in two stages whose best learning rate lies at the edge of its range."""
    return parts.base(
        "20260301-141500-keen-tern",
        name="search on digits",
        kind="search",
        command="babysit search digits",
        data=parts.digits(),
        trials=parts.trials(best_lr=9e-3),
        ranges=parts.ranges(),
        findings=findings.BEST_AT_EDGE,
    )


def hundred_layers_run() -> Run:
    """Return a run of a hundred layers monitored for ten thousand steps."""
    return deep_run(layers=100, steps=10_000)


def deep_run(*, layers: int, steps: int) -> Run:
    """Return a run of a plain network of any depth whose gradient vanishes toward the first layers."""
    names = tuple(f"blocks.{index // 4}.layer{index % 4}" for index in range(layers))
    sampled = parts.sampled(steps)
    layer_metrics = parts.layer_metrics(names, sampled)
    fading = np.logspace(-6, 0, layers, dtype="float32")
    layer_metrics.values["gradient_rms"][:] *= fading
    layer_metrics.values["update_ratio"][:] *= np.sqrt(fading)
    return parts.base(
        "20260301-151500-tall-stork",
        name=f"{layers} layers",
        model_summary=parts.model_summary(names),
        layer_metrics=layer_metrics,
        curves=parts.curves(parts.falling(steps, start=2.31, end=0.9, seed=5)),
        findings=(
            Finding(
                code="G501",
                name="vanishing-gradient",
                severity=Severity.WARNING,
                rank=1,
                first_step=0,
                last_step=steps - 1,
                layers=names[: layers // 3],
                evidence={"ratio": 1e-6},
                message="The first layers get a millionth of the gradient of the last ones.",
                recommendation="Put batch normalization or residual connections between the layers.",
            ),
        ),
        overhead=parts.overhead(steps),
    )


# Names that break pages, terminals, figures and files without proper escaping.
HOSTILE_NAMES: Final = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "{{ 7*7 }}{% raw %}[bold red]x[/bold red]",
    "\x1b[31mred\x1b[0m\x07\x00",
    "reversed \u202egnp.exe",
    "lone \ud800 surrogate",
    "層.日本語 🐣 résumé",
    "line\nbreak\ttab",
    "",
    "x" * 10_000,
    "x" * 9_999 + "y",
    "__proto__",
    "datum.value'] || alert(1) || ['",
)


def hostile_names_run() -> Run:
    """Return a run in which every free text is hostile: layers, findings, parameters, data, command."""
    nasty = HOSTILE_NAMES[0] + HOSTILE_NAMES[2] + HOSTILE_NAMES[4]
    run = dead_relu_run()
    steps = run.layer_metrics.steps
    finding = msgspec.structs.replace(
        run.findings[0],
        name=nasty,
        layers=HOSTILE_NAMES,
        message=nasty,
        recommendation=HOSTILE_NAMES[3],
        evidence={name: name for name in HOSTILE_NAMES} | {"nan": float("nan")},
        fixes=(Fix(action=nasty, say=nasty, code=nasty),),
    )
    odd: dict[str, float | int | str | bool] = {"lr": 1e-3, nasty: nasty, HOSTILE_NAMES[10]: float("nan")}
    return msgspec.structs.replace(
        run,
        name=nasty,
        command=nasty,
        model_summary=parts.model_summary(HOSTILE_NAMES),
        layer_metrics=parts.layer_metrics(HOSTILE_NAMES, steps),
        curves=Curves(series={**run.curves.series, f"loss/{nasty}": run.curves.get("train/loss")}),
        findings=(finding,),
        experiments=(
            ExperimentResult(name=nasty, outcome=Outcome.FAIL, measured={nasty: float("nan")}, message=nasty),
        ),
        trials=(Trial(number=0, stage=nasty, parameters=odd, state=TrialState.PRUNED, reason=nasty),),
        config={nasty: nasty},
        data=DataProfile(source=nasty, class_names=HOSTILE_NAMES, feature_names=HOSTILE_NAMES),
        stop_reason=nasty,
    )
