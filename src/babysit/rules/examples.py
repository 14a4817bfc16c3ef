"""Small synthetic runs for the examples of the rules: a healthy run and functions that change one part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from babysit.records.curves import Curves, Series
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.events import Event, Events
from babysit.records.experiment import ExperimentResult
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.model_summary import (
    Layer,
    ModelSummary,
    Objective,
    Op,
    OptimizerInfo,
    ParameterGroup,
    TargetKind,
    Task,
    ValueSummary,
)
from babysit.records.run import Run, Status

Floats = NDArray[np.float64]
STEPS = 400
BATCH = 64
SAMPLED = np.concatenate([np.arange(20), np.arange(20, STEPS, 20)])

# Layer metrics of a healthy ReLU network: unit scale, few dead units, an update ratio of 1e-3.
HEALTHY = {
    "activation_mean": 0.5,
    "activation_std": 0.8,
    "output_std": 1.0,
    "zeros": 0.5,
    "dead": 0.05,
    "one_sided": 0.05,
    "input_one_sided": 0.1,
    "gradient_rms": 1e-2,
    "gradient_zeros": 0.05,
    "one_signed": 0.02,
    "weight_rms": 0.15,
    "update_rms": 1.5e-4,
    "update_ratio": 1e-3,
    "nonfinite": 0.0,
    "nonfinite_stage": 0.0,
    "unit_similarity": 0.0,
}


def falling(start: float, end: float, *, steps: int = STEPS, noise: float = 0.03) -> Floats:
    """Return a loss that decreases exponentially, with noise proportional to its level."""
    clean = end + (start - end) * np.exp(-np.arange(steps) / (steps / 8))
    return np.asarray(clean * (1 + noise * np.random.default_rng(0).standard_normal(steps)))


def flat(level: float, *, steps: int = STEPS, noise: float = 0.01) -> Floats:
    """Return a constant loss with noise."""
    return np.asarray(level * (1 + noise * np.random.default_rng(1).standard_normal(steps)))


def diverging(start: float, *, steps: int = STEPS, broken: bool = True) -> Floats:
    """Return a loss that grows a hundredfold every twenty steps, and ends as NaN if `broken`."""
    values = start * 10 ** (np.minimum(np.arange(steps), 100) / 10.0)
    if broken:
        values[100:] = np.nan
    return np.asarray(values)


def dense_layers(widths: Sequence[int], *, activation: str = "relu", **changes: Any) -> tuple[Layer, ...]:
    """Build dense layers of these widths, the first being the input; all but the last have the activation."""
    last = len(widths) - 2
    layers = (
        Layer(
            name=f"layer{order}",
            kind="Linear",
            order=order,
            parameter_names=(f"layer{order}.weight", f"layer{order}.bias"),
            parameters=fan_in * fan_out + fan_out,
            weight_shape=(fan_out, fan_in),
            input_shape=(BATCH, fan_in),
            output_shape=(BATCH, fan_out),
            fan_in=fan_in,
            has_bias=True,
            activation="" if order == last else activation,
            is_output=order == last,
            source=f"layer{order - 1}" if order else "",
        )
        for order, (fan_in, fan_out) in enumerate(pairwise(widths))
    )
    return tuple(msgspec.structs.replace(layer, **changes) for layer in layers)


def classes(*output_ops: str, loss: str = "cross_entropy", **changes: Any) -> Objective:
    """Build an objective of ten balanced classes; `output_ops` are the operations between last layer and loss."""
    defaults = Objective(
        loss=loss,
        output_ops=tuple(Op(name=name, dim=1, size=10) for name in output_ops),
        prediction=ValueSummary(shape=(BATCH, 10), low=-2.0, high=2.0, variance=0.3),
        target=ValueSummary(shape=(BATCH,), dtype="int64", high=9, mean=4.5, variance=8.25, distinct=10, whole=True),
        target_kind=TargetKind.INDICES,
        class_counts=(100,) * 10,
        outputs=10,
        task=Task.CLASSES,
        confidence=1.0,
    )
    return msgspec.structs.replace(defaults, **changes)


def regression(*output_ops: str, loss: str = "mse_loss", **changes: Any) -> Objective:
    """Build an objective with one continuous target of mean 0 and variance 1."""
    defaults = Objective(
        loss=loss,
        output_ops=tuple(Op(name=name, dim=1, size=1) for name in output_ops),
        prediction=ValueSummary(shape=(BATCH, 1), low=-1, high=1, variance=0.2, distinct=BATCH),
        target=ValueSummary(shape=(BATCH, 1), dtype="float32", low=-2.5, high=2.5, variance=1.0, distinct=BATCH),
        target_kind=TargetKind.REAL,
        outputs=1,
        task=Task.REGRESSION,
        confidence=1.0,
    )
    return msgspec.structs.replace(defaults, **changes)


def binary(*output_ops: str, loss: str = "binary_cross_entropy_with_logits", **changes: Any) -> Objective:
    """Build a balanced binary objective with one logit."""
    target = ValueSummary(shape=(BATCH, 1), high=1.0, mean=0.5, variance=0.25, distinct=2, whole=True)
    defaults = regression(
        *output_ops, loss=loss, target=target, target_kind=TargetKind.ZERO_ONE, class_counts=(500, 500)
    )
    return msgspec.structs.replace(defaults, task=Task.BINARY, **changes)


def optimizer(kind: str = "Adam", *, lr: float = 1e-3, **changes: Any) -> OptimizerInfo:
    """Build an optimizer with one parameter group."""
    group = ParameterGroup(lr=lr, **changes)
    return OptimizerInfo(kind=kind, groups=(group,), parameter_names=("layer0.weight",))


def profile(*, preprocessing: str = "", **changes: Any) -> DataProfile:
    """Build the profile of standardized inputs with 20 features, as fed to the network."""
    defaults: dict[str, Any] = {
        "samples": 1000,
        "input_shape": (20,),
        "low": -3.0,
        "high": 3.0,
        "std": 1.0,
        "feature_mean": np.zeros(20),
        "feature_std": np.ones(20),
    }
    split = SplitProfile(split="batch", **(defaults | changes))
    return DataProfile(source="example", kind="table", splits=(split,), preprocessing=preprocessing)


def metric_table(layers: Sequence[str], changes: Mapping[str, Any]) -> LayerMetrics:
    """Build healthy layer metrics with changes: a number, a list by layer, or an array (steps, layers)."""
    shape = (len(SAMPLED), len(layers))
    values = {
        name: np.array(np.broadcast_to(np.asarray(value, dtype="float32"), shape))
        for name, value in (HEALTHY | dict(changes)).items()
    }
    return LayerMetrics(layers=tuple(layers), steps=SAMPLED, values=values)


def example_run(  # noqa: PLR0913  one argument for each part of a run; each has a healthy default
    *,
    model_summary: ModelSummary | None = None,
    layers: tuple[Layer, ...] | None = None,
    objective: Objective | None = None,
    loss: Floats | None = None,
    curves: Mapping[str, Floats] | None = None,
    layer_metrics: Mapping[str, Any] | None = None,
    vital_layers: Sequence[str] | None = None,
    data: DataProfile | None = None,
    events: Mapping[str, int] | None = None,
    kept: Sequence[tuple[int, str, str]] = (),
    experiments: tuple[ExperimentResult, ...] = (),
    facts: Mapping[str, Any] | None = None,
) -> Run:
    """Build a healthy run of ten classes with the given parts changed; `facts` changes the model summary."""
    layers = dense_layers((20, 64, 64, 10)) if layers is None else layers
    defaults = ModelSummary(
        model="Sequential",
        layers=layers,
        objectives=(objective or classes(),),
        optimizers=(optimizer(),),
        parameters=sum(layer.parameters for layer in layers),
        trainable_parameters=sum(layer.parameters for layer in layers if layer.trainable),
        batch_size=BATCH,
    )
    named = {"train/loss": falling(2.4, 0.1) if loss is None else loss} | dict(curves or {})
    series = {
        name: Series(steps=np.linspace(0, STEPS - 1, len(values)).astype("int64"), values=values)
        for name, values in named.items()
    }
    counts = {"backward": STEPS, "step": STEPS, "zero_grad": STEPS, "optimizer": 1} | dict(events or {})
    names = [layer.name for layer in layers] if vital_layers is None else vital_layers
    return Run(
        id="example",
        status=Status.FINISHED,
        model_summary=model_summary or msgspec.structs.replace(defaults, **dict(facts or {})),
        curves=Curves(series=series),
        layer_metrics=metric_table(names, layer_metrics or {}) if names else LayerMetrics(),
        data=data or profile(),
        events=Events(
            counts=counts,
            kept=tuple(Event(step=step, kind=kind, detail=detail) for step, kind, detail in kept),
            steps=STEPS,
        ),
        experiments=experiments,
    )


def healthy() -> Run:
    """Build a run in which a ReLU network learns ten classes under Adam."""
    return example_run()


def healthy_regression() -> Run:
    """Build a regression run that explains 95 % of the variance."""
    return example_run(layers=dense_layers((20, 64, 64, 1)), objective=regression(), loss=falling(1.1, 0.05))
