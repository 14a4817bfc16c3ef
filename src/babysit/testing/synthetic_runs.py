"""Synthetic runs, healthy and faulty, built from numbers alone: nothing is trained and torch is not needed.

They are for tests of stores, figures, reports and rules; the same call returns the same run.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from babysit.analysis.verdict import concluded
from babysit.records.arrays import Array
from babysit.records.curves import TRAIN_LOSS, VAL_ACCURACY, Curves, Series
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.events import Event, Events
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Finding, Fix, Severity
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
from babysit.records.serialization import to_bytes
from babysit.records.trial import Rung, StageRange, Trial, TrialState
from babysit.records.verdict import Crash, Learning, Missing, Verdict

_DIGITS_LAYERS: Final = ("hidden.0", "hidden.1", "hidden.2", "output")
_ENVIRONMENT: Final = Environment(
    python="3.11.9", torch="2.13.0", babysit="0.1.0", platform="Linux x86_64", device="cpu", threads=2
)

# What rules would find in these runs, written out, so that reports are tested apart from rules.
_DIVERGING: Final = (
    Finding(
        code="U601", name="lr-too-high", severity=Severity.ERROR, rank=1, first_step=0, last_step=159,
        layers=_DIGITS_LAYERS, evidence={"update_ratio": 0.41, "limit": 0.1, "lr": 1.0}, confidence=0.97,
        message="Each step changes the weights by 41 % of their size; about 0.1 % is usual. "
        "Steps this large overshoot, and the loss grows.",
        recommendation="Divide the learning rate by 100 (from 1 to 0.01), then look for the best one with `babysit "
        "check`.",
        fixes=(
            Fix(
                action="scale_lr", value=0.01, say="divide the learning rate by 100",
                code="optimizer.param_groups[0]['lr'] = 1e-2",
            ),
        ),
    ),
    Finding(
        code="F906", name="diverging-loss", severity=Severity.ERROR, rank=2, explained_by="U601", first_step=9,
        last_step=128, evidence={"first": 2.31, "largest": float("inf"), "nan_from": 128},
        message="The loss grew from 2.31 to infinity by step 120 and is NaN from step 128 on.",
        recommendation="No separate fix: lower the learning rate.",
    ),
    Finding(
        code="G502", name="exploding-gradient", severity=Severity.WARNING, rank=3, explained_by="F906", first_step=40,
        last_step=125, layers=("hidden.0",), evidence={"growth": 4.1e5},
        message="The gradient of hidden.0 grew 410,000-fold within 80 steps.",
    ),
)  # fmt: skip

_DEAD_UNITS: Final = (
    Finding(
        code="A401", name="dead-units", severity=Severity.WARNING, rank=1, first_step=48, last_step=799,
        layers=("hidden.1",), evidence={"dead_share": 0.92, "usual_share": 0.2, "died_at_step": 60}, confidence=0.9,
        message="92 % of the units of hidden.1 are zero on all samples since about step 60, so they no longer learn. "
        "They were alive at the start: the learning rate is the cause, not the initialization.",
        recommendation="Train again with a tenth of the learning rate; if units still die, use a leaky ReLU.",
        fixes=(
            Fix(
                action="scale_lr", value=0.1, say="divide the learning rate by 10",
                code="optimizer.param_groups[0]['lr'] *= 0.1",
            ),
            Fix(
                action="replace_activation", target="hidden.1", value="leaky_relu",
                say="let the units of hidden.1 leak", code="model.hidden[3] = torch.nn.LeakyReLU(0.01)",
            ),
        ),
    ),
)  # fmt: skip

_OVERFITTING: Final = (
    Finding(
        code="F901", name="overfitting", severity=Severity.WARNING, rank=1, first_step=520, last_step=2399,
        evidence={"best_validation": 0.97, "last_validation": 1.96, "gap_accuracy": 0.3},
        message="Since step 520 the training loss falls while the validation loss rises (0.97 to 1.96): "
        "what is learned no longer generalizes to new data.",
        recommendation="Stop at the lowest validation loss, then add weight decay or dropout, or get more data.",
        fixes=(
            Fix(
                action="stop_earlier", value=520.0, say="stop at step 520",
                code="fit(model, splits, settings=FitSettings(patience=8))",
            ),
            Fix(action="set_weight_decay", value=1e-3, say="add weight decay 1e-3"),
        ),
    ),
    Finding(
        code="F907", name="underconfident-predictions", severity=Severity.INFO, rank=2, first_step=0, last_step=80,
        evidence={"accuracy_gain": 0.12}, message="Accuracy rose by 12 points while the loss hardly moved.",
    ),
)  # fmt: skip

_BEST_AT_EDGE: Final = (
    Finding(
        code="S001", name="best-at-edge", severity=Severity.WARNING, rank=1,
        evidence={"parameter": "lr", "best": 0.0095, "high": 0.01},
        message="The best learning rate, 0.0095, lies at the upper edge of its range (up to 0.01).",
        recommendation="Search again with the range shifted upward: 1e-3 to 0.1.",
    ),
)  # fmt: skip


def healthy_run() -> Run:
    """Return a whole pipeline on the digits that went well: experiments, search, training, early stop, no finding."""
    steps = 1200
    epochs = np.arange(30)
    return _trained(
        "20260301-101500-quiet-otter", _falling(steps, start=2.31, end=0.012, seed=1),
        more={
            "val/loss": _by_epoch(0.085 + 2.0 * np.exp(-epochs / 2.2), steps, spread=0.004),
            "val/accuracy": _by_epoch(0.978 - 0.75 * np.exp(-epochs / 2.0), steps, spread=0.002),
            "train/accuracy": _by_epoch(0.999 - 0.76 * np.exp(-epochs / 1.9), steps, spread=0.001),
        },
        name="digits", kind="pipeline", command="babysit run digits", data=_digits(), experiments=_experiments(),
        trials=_trials(), ranges=_ranges(),
        events=Events(counts={"step": steps, "zero_grad": steps, "backward": steps, "evaluation": 30}, steps=steps),
        result={"test/accuracy": 0.9778, "val/accuracy": 0.9815, "best_step": 880.0},
        stop_reason="no better validation loss for 8 epochs", artifacts={"model": "babysit_runs/quiet-otter/model.pt"},
    )  # fmt: skip


def diverging_run() -> Run:
    """Return a run whose learning rate is far too high: the loss grows, becomes infinite, then NaN."""
    steps = 160
    growth = 2.31 * np.exp(np.linspace(0, 95, steps)) * np.exp(_noise(steps, 2) * 0.6)
    losses = np.where(np.arange(steps) < 120, growth, np.inf)
    losses[128:] = np.nan
    sampled = _sampled(steps)
    layer_metrics = _layer_metrics(_DIGITS_LAYERS, sampled, update=0.4)
    values = layer_metrics.values
    wild = (np.exp(np.minimum(sampled, 120) / 8.0) * 1e-2)[:, None].astype("float32")
    values["gradient_rms"] = np.where(sampled[:, None] > 125, np.float32("nan"), values["gradient_rms"] * wild * 100)
    values["gradient_rms"][(sampled > 112) & (sampled <= 125)] = np.inf
    values["nonfinite"] = np.where(sampled[:, None] > 112, 64.0, 0.0).astype("float32").repeat(4, axis=1)
    return _trained(
        "20260301-111500-loud-heron", losses, lr=1.0, name="digits with learning rate 1.0",
        command="babysit watch train.py --lr 1.0", layer_metrics=layer_metrics,
        events=Events(counts={"step": steps, "nonfinite": 40}, kept=(Event(step=120, kind="nonfinite"),), steps=steps),
        findings=_DIVERGING, stop_reason="the loss is NaN since step 128",
    )  # fmt: skip


def dead_relu_run() -> Run:
    """Return a run in which most ReLU units of a hidden layer die within the first hundred steps."""
    steps = 800
    sampled = _sampled(steps)
    layer_metrics = _layer_metrics(_DIGITS_LAYERS, sampled, update=2e-2)
    dying = 0.92 / (1 + np.exp(-(sampled - 60) / 12.0))
    layer_metrics.values["dead"][:, 1] = dying
    layer_metrics.values["gradient_rms"][:, 1] *= (1 - dying) + 1e-3
    return _trained(
        "20260301-121500-pale-crane", _falling(steps, start=2.31, end=1.1, seed=3), lr=0.1, name="dying units",
        command="babysit watch train.py", layer_metrics=layer_metrics, findings=_DEAD_UNITS,
    )  # fmt: skip


def overfit_run() -> Run:
    """Return a run that trains long after its validation loss turned: a wide and widening gap."""
    steps = 2400
    epochs = np.arange(60)
    turning = 0.9 + 1.4 * np.exp(-epochs / 4.0) + 0.022 * np.maximum(0, epochs - 12)
    accuracy = 0.72 - 0.5 * np.exp(-epochs / 4.0) - 0.0008 * np.maximum(0, epochs - 15)
    return _trained(
        "20260301-131500-eager-magpie", _falling(steps, start=2.31, end=0.002, seed=4),
        more={
            "val/loss": _by_epoch(turning, steps, spread=0.02),
            "val/accuracy": _by_epoch(accuracy, steps, spread=0.006),
            "train/accuracy": _by_epoch(1.0 - 0.8 * np.exp(-epochs / 7.0), steps, spread=0.004),
        },
        name="small data, large net", kind="fit", command="babysit fit flowers.csv --target species", data=_digits(),
        findings=_OVERFITTING,
    )  # fmt: skip


def search_run() -> Run:
    """Return a search in two stages whose best learning rate lies at the edge of its range."""
    return _finished(
        "20260301-141500-keen-tern", name="search on digits", kind="search", command="babysit search digits",
        data=_digits(), trials=_trials(best_lr=9e-3), ranges=_ranges(), findings=_BEST_AT_EDGE,
    )  # fmt: skip


def hundred_layers_run() -> Run:
    """Return a run of a hundred layers watched for ten thousand steps."""
    return deep_run(layers=100, steps=10_000)


def deep_run(*, layers: int, steps: int) -> Run:
    """Return a run of a plain net of any depth whose gradient vanishes toward its first layers."""
    names = tuple(f"blocks.{index // 4}.layer{index % 4}" for index in range(layers))
    layer_metrics = _layer_metrics(names, _sampled(steps))
    fading = np.logspace(-6, 0, layers, dtype="float32")
    layer_metrics.values["gradient_rms"][:] *= fading
    layer_metrics.values["update_ratio"][:] *= np.sqrt(fading)
    vanishing = Finding(
        code="G501", name="vanishing-gradient", severity=Severity.WARNING, rank=1, first_step=0, last_step=steps - 1,
        layers=names[: layers // 3], evidence={"ratio": 1e-6},
        message="The first layers get a millionth of the gradient of the last ones.",
        recommendation="Put batch normalization or residual connections between the layers.",
    )  # fmt: skip
    return _trained(
        "20260301-151500-tall-stork", _falling(steps, start=2.31, end=0.9, seed=5), layers=names,
        name=f"{layers} layers", layer_metrics=layer_metrics, findings=(vanishing,),
    )  # fmt: skip


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
    """Return a run whose every free text is hostile: layers, findings, parameters, data, command."""
    nasty = HOSTILE_NAMES[0] + HOSTILE_NAMES[2] + HOSTILE_NAMES[4]
    run = dead_relu_run()
    steps = run.layer_metrics.steps
    finding = replace(
        run.findings[0], name=nasty, layers=HOSTILE_NAMES, message=nasty, recommendation=HOSTILE_NAMES[3],
        evidence={name: name for name in HOSTILE_NAMES} | {"nan": float("nan")},
        fixes=(Fix(action=nasty, say=nasty, code=nasty),),
    )  # fmt: skip
    odd: dict[str, float | int | str | bool] = {"lr": 1e-3, nasty: nasty, HOSTILE_NAMES[10]: float("nan")}
    return replace(
        run, name=nasty, command=nasty, model_summary=_model_summary(HOSTILE_NAMES),
        layer_metrics=_layer_metrics(HOSTILE_NAMES, steps),
        curves=Curves(series={**run.curves.series, f"loss/{nasty}": run.curves.get("train/loss")}), findings=(finding,),
        experiments=(
            ExperimentResult(name=nasty, outcome=Outcome.FAIL, measured={nasty: float("nan")}, message=nasty),
        ),
        trials=(Trial(number=0, stage=nasty, parameters=odd, state=TrialState.PRUNED, reason=nasty),),
        config={nasty: nasty}, data=DataProfile(source=nasty, class_names=HOSTILE_NAMES, feature_names=HOSTILE_NAMES),
        stop_reason=nasty,
    )  # fmt: skip


def losses(first: int, last: int) -> Curves:
    """Return a falling training loss for the steps from `first` up to, not including, `last`."""
    steps = np.arange(first, last)
    return Curves(series={TRAIN_LOSS: Series(steps, 2.3 / (1.0 + steps))})


def full_run(run_id: str) -> Run:
    """Return a run in which every field holds something, NaN and infinities included."""
    layers = tuple(Layer(name=name, kind="Linear", order=order) for order, name in enumerate(("first", "second")))
    table = np.array([[0.5, np.nan], [-np.inf, -0.0], [1e-40, 3.0]], dtype="float32")
    curve = Series(np.array([0, 1, 2]), np.array([2.3, np.nan, np.inf]))
    fix = Fix(action="scale_lr", value=0.1, say="Lower the learning rate")
    return Run(
        id=run_id, name="größer als 1 🙂", kind="fit", status=Status.FINISHED, created="2026-01-31T14:25:30+00:00",
        ended="2026-01-31T14:26:30+00:00", command="train.py --lr 0.1",
        config={"lr": 0.1, "epochs": 3, "name": "a", "shuffle": True},
        model_summary=ModelSummary(model="Net", layers=layers, parameters=12),
        data=DataProfile(source="digits", splits=(SplitProfile(split="train", feature_mean=np.array([1.0, 2.0])),)),
        layer_metrics=LayerMetrics(layers=("first", "second"), steps=np.array([0, 1, 5]), values={"zeros": table}),
        curves=Curves(series={TRAIN_LOSS: curve, VAL_ACCURACY: Series(np.array([2]), np.array([0.5]))}),
        experiments=(ExperimentResult(name="initial-loss", outcome=Outcome.PASS, curves={"loss": curve}),),
        events=Events(counts={"step": 3}, kept=(Event(step=1, kind="clip"),), steps=3),
        trials=(Trial(number=0, stage="coarse", state=TrialState.COMPLETE, metric=0.5),),
        ranges=(StageRange(stage="coarse", parameter="lr", low=1e-4, high=1e-1),),
        findings=(Finding(code="R301", name="lr-too-high", severity=Severity.ERROR, fixes=(fix,)),),
        verdict=Verdict.PROBLEMS, missing=(Missing.CHECKS,), learning=Learning(loss=0.25, chance=0.1, train=0.25),
        crash=Crash(kind="ValueError", message="no such file", place="train.py:3"), result={"test/accuracy": 0.25},
        artifacts={"model": "model.pt"}, stop_reason="the last epoch", overhead=Overhead(share=0.004, steps=3),
    )  # fmt: skip


def same(one: Run, other: Run) -> bool:
    """Return whether two runs are equal to the last bit."""
    return to_bytes(one) == to_bytes(other)


def _finished(run_id: str, **fields: Any) -> Run:
    """Return a finished run of that id with these fields and the verdict that they make."""
    times = {"created": "2026-03-01T10:15:00Z", "ended": "2026-03-01T10:16:12Z"}
    config = {"lr": 1e-3, "batch_size": 64, "optimizer": "adam", "seed": 0}
    given = {"status": Status.FINISHED, "environment": _ENVIRONMENT, "config": config, **times, **fields}
    return concluded(Run(id=run_id, **given))


def _trained(
    run_id: str,
    losses: Array,
    *,
    layers: tuple[str, ...] = _DIGITS_LAYERS,
    lr: float = 1e-3,
    more: dict[str, Series] | None = None,
    **fields: Any,
) -> Run:
    """Return a finished training of these losses by step, with `more` curves; layer metrics are sound by default."""
    steps = len(losses)
    sampled = _sampled(steps)
    cost = Overhead(
        budget=0.01, share=0.0063, seconds=3.5e-4 * steps, sampled_steps=len(sampled), steps=steps, every=32
    )
    every = np.arange(steps, dtype="int64")
    series = {
        "train/loss": Series(steps=every, values=losses),
        "lr": Series(steps=every, values=np.full(steps, lr)),
        "gradient_norm": Series(steps=every, values=0.4 * np.exp(0.2 * _noise(steps, 9))),
    }
    fields.setdefault("layer_metrics", _layer_metrics(layers, sampled))
    return _finished(
        run_id,
        model_summary=_model_summary(layers, lr=lr),
        curves=Curves(series=series | (more or {})),
        overhead=cost,
        **fields,
    )


def _noise(length: int, seed: int) -> Array:
    """Return normal noise of standard deviation one."""
    return np.random.default_rng(seed).normal(size=length)


def _falling(steps: int, *, start: float, end: float, seed: int) -> Array:
    """Return a loss by step that falls as losses do: fast, then slowly, with the noise of batches."""
    shape = 1 / (1 + np.arange(steps) / (0.03 * steps)) ** 1.6
    return (end + (start - end) * shape) * np.exp(0.16 * _noise(steps, seed) * np.linspace(0.15, 1, steps))


def _by_epoch(values: Array, steps: int, *, spread: float) -> Series:
    """Return one value after each epoch, evenly over the steps."""
    after = np.linspace(0, steps, len(values) + 1)[1:].astype("int64") - 1
    return Series(steps=after, values=values + spread * _noise(len(values), len(values)))


def _sampled(steps: int) -> Array:
    """Return the steps that a watcher samples: the first twenty, then farther and farther apart, at most 32."""
    chosen = list(range(min(20, steps)))
    while chosen and chosen[-1] < steps - 1:
        chosen.append(chosen[-1] + min(32, max(1, int(0.15 * chosen[-1]))))
    return np.array([step for step in chosen if step < steps], dtype="int64")


def _layer_metrics(layers: tuple[str, ...], steps: Array, *, update: float = 1e-3) -> LayerMetrics:
    """Return layer metrics of a net that learns well; `update` is the typical update ratio."""
    generator = np.random.default_rng(11)
    shape = (len(steps), len(layers))

    def around(value: float, spread: float) -> Array:
        own = generator.normal(size=(1, len(layers)))  # each layer keeps its own level
        return (value * np.exp(spread * (generator.normal(size=shape) * 0.4 + own))).astype("float32")

    share = np.clip(around(0.05, 0.6), 0, 1)
    fading = (1 / (1 + steps / max(1, steps[-1] if len(steps) else 1) * 4))[:, None].astype("float32")
    values = {
        "activation_mean": around(0.35, 0.2),
        "activation_std": around(0.8, 0.3),
        "zeros": np.clip(around(0.5, 0.1), 0, 1),
        "dead": share.copy(),
        "saturated": np.full(shape, np.nan, dtype="float32"),  # no layer here has a flat part
        "gradient_rms": around(3e-3, 0.5) * fading,
        "weight_rms": around(0.1, 0.1),
        "update_ratio": around(update, 0.4) * (0.4 + 0.6 * fading),
        "nonfinite": np.zeros(shape, dtype="float32"),
    }
    return LayerMetrics(layers=layers, steps=steps, values=values)


def _model_summary(layers: tuple[str, ...], *, lr: float = 1e-3) -> ModelSummary:
    """Return a ReLU net of these layers for ten classes, with Adam."""
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


def _digits() -> DataProfile:
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


def _experiments() -> tuple[ExperimentResult, ...]:
    """Return the four experiments before training, all as they should be."""
    tries = np.arange(100)
    lrs = np.logspace(-6, 1, 100)
    fall = 2.31 - 1.9 / (1 + np.exp(-(np.log10(lrs) + 2.4) * 3.2))
    losses = fall + np.where(lrs > 0.3, (lrs / 0.3) ** 2 - 1, 0) + 0.05 * _noise(100, 21)
    kept = losses < 3 * 2.31
    tries, lrs, losses = tries[kept], lrs[kept], losses[kept]
    smoothed = np.convolve(np.pad(losses, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    tiny = np.concatenate([2.4 * np.exp(-np.arange(64) / 12.0), [0.011]])
    right = np.minimum(1, 0.1 + np.arange(65) / 40)

    def along(steps: Array, values: Array) -> Series:
        return Series(steps=steps, values=values)

    return (
        ExperimentResult(
            name="initial-loss", outcome=Outcome.PASS, measured={"loss": 2.3112}, expected={"loss": 2.302585},
            message="the loss before training is 2.31, and chance level is ln 10 = 2.303: as expected",
            seconds=0.02,
        ),
        ExperimentResult(
            name="initial-loss-regularized", outcome=Outcome.PASS, measured={"loss": 3.0712, "strength": 0.004},
            expected={"loss": 3.0701}, message="with an L2 penalty the loss goes from 2.311 to 3.071, as expected",
            seconds=0.02,
        ),
        ExperimentResult(
            name="overfit-tiny", outcome=Outcome.PASS, measured={"loss": 0.011, "score": 1.0, "steps": 64.0},
            expected={"loss": 0.023, "score": 1.0}, message="20 samples are overfitted after 64 steps",
            curves={"loss": along(np.arange(65), tiny), "score": along(np.arange(65), right)}, seconds=0.4,
        ),
        ExperimentResult(
            name="lr-range", outcome=Outcome.PASS, measured={"suggested": 4.1e-3, "low": 3e-4, "high": 0.21},
            message="the loss falls fastest at a learning rate of 4e-3; learning rates from 3e-4 to 0.2 are "
            "usable", seconds=1.1,
            curves={"loss": along(tries, losses), "smoothed": along(tries, smoothed), "lr": along(tries, lrs)},
        ),
    )  # fmt: skip


def _trials(*, best_lr: float = 3e-3) -> tuple[Trial, ...]:
    """Return twenty-four trials in two stages, some of them stopped early; `best_lr` is where the metric peaks."""
    generator = np.random.default_rng(31)
    made = []
    for number in range(24):
        stage, low, high = ("coarse", -4.0, -1.0) if number < 16 else ("fine", -3.1, -2.0)
        lr, decay = 10 ** generator.uniform(low, high), 10 ** generator.uniform(-6, -2)
        metric = min(0.97 - 0.09 * np.log10(lr / best_lr) ** 2 + 0.01 * generator.normal(), 0.995)
        failed = lr > 0.0101
        early = 0.0 if failed else metric - 0.1 + 0.02 * float(generator.normal())
        rungs = (Rung(epochs=1, step=20, metric=float(early)), Rung(epochs=4, step=80, metric=float(metric)))
        made.append(
            Trial(
                number=number, stage=stage, parameters={"lr": float(lr), "weight_decay": float(decay)},
                state=TrialState.PRUNED if failed else TrialState.COMPLETE, metric=None if failed else float(metric),
                reason="cost above 3x the initial cost" if failed else "", step=7 if failed else 80, initial_cost=2.31,
                seconds=0.1 if failed else 0.8, rungs=() if failed else rungs,
            )
        )  # fmt: skip
    return tuple(made)


def _ranges() -> tuple[StageRange, ...]:
    """Return the ranges of both stages."""
    narrowed = "narrowed around the best quarter of the coarse stage"
    return (
        StageRange(stage="coarse", parameter="lr", low=1e-4, high=1e-1, why="as given"),
        StageRange(stage="coarse", parameter="weight_decay", low=1e-6, high=1e-2, why="as given"),
        StageRange(stage="fine", parameter="lr", low=8e-4, high=1e-2, why=narrowed),
        StageRange(stage="fine", parameter="weight_decay", low=1e-6, high=1e-2, why="kept: it hardly matters here"),
    )
