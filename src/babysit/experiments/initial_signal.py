"""Activation and gradient scale at initialization, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import Final

import numpy as np
from torch import Tensor, autograd, nn

from babysit.data.samples import Samples
from babysit.experiments.layer_trace import LayerPass, LayerTrace
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.nn.losses import loss_for
from babysit.records.curves import Series
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.rules.initialization.dead_at_init import RULE as DEAD_AT_INIT
from babysit.rules.initialization.saturated_at_init import RULE as SATURATED_AT_INIT
from babysit.rules.initialization.shrinking_signal import RULE as SHRINKING_SIGNAL

Loss = Callable[[Tensor, Tensor], Tensor]

SAMPLES: Final = 256
# Shared with the rules that judge a watched run, where the sources are given; the experiment warns at the same values.
MIN_STD_RATIO = SHRINKING_SIGNAL.limits["total"].value
MAX_SATURATED = SATURATED_AT_INIT.limits["share"].value
MAX_DEAD = DEAD_AT_INIT.limits["share"].value
# A warning becomes a failure when almost nothing is left: float32 resolves 1e-7 of a sum, and a twentieth of the units
# is what remains in the lecture's worst example (1.0 * N(0, 1) under tanh: above 90 % saturated).
FAIL_STD_RATIO, FAIL_SHARE = 1e-5, 0.95
# An initialization that does not fit the activation: Xavier under ReLU retains sqrt(1/2) = 0.71 of the standard
# deviation per layer, matching schemes 0.89 (tanh) to 1. The effect is noticeable from a tenth in total.
MISFIT_EACH, MISFIT_TOTAL = 0.8, 0.1


def initial_signal(model: nn.Module, samples: Samples, *, loss: Loss | None = None, seed: int = 0) -> ExperimentResult:
    """Measure activation and gradient scale through the untrained layers, and dead and saturated units.

    256 samples. `spread` is the standard deviation at the last hidden layer over that at the first, `gradient` that of
    the gradient at the first hidden layer over the last one's: 1 is ideal for both. The output layer is not judged.
    Curves by depth: mean, std, gradient_std, saturated, dead (NaN where not defined for the activation).
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    device = device_of(model)
    with replica(model, seed=seed) as (copy, _), LayerTrace(copy) as trace:
        value = (loss or loss_for(samples.task))(copy(batch.x.to(device)), batch.y.to(device))
        if value.requires_grad:
            autograd.backward(value)
    layers = trace.passages
    hidden = layers[:-1]
    measured = _measured(hidden)
    outcome, message = _evaluate(hidden, measured)
    return ExperimentResult(
        name="initial-signal",
        outcome=outcome,
        measured=measured,
        expected={"spread": 1.0, "gradient": 1.0, "saturated": 0.0, "dead": 0.0} if hidden else {},
        message=message,
        curves=_curves(layers),
        seconds=perf_counter() - start,
    )


def _measured(hidden: list[LayerPass]) -> dict[str, float]:
    if not hidden:
        return {"layers": 0.0}
    gradients = [layer.gradient_std for layer in hidden if layer.gradient_std is not None]
    return {
        "spread": _ratio(hidden[-1].std, hidden[0].std),
        "gradient": _ratio(gradients[0], gradients[-1]) if gradients else math.nan,
        "saturated": max((layer.saturated or 0.0) for layer in hidden),
        "dead": max((layer.dead or 0.0) for layer in hidden),
        "first_std": hidden[0].std,
        "last_std": hidden[-1].std,
        "layers": float(len(hidden)),
    }


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0 else (1.0 if over == under else math.inf)


def _evaluate(hidden: list[LayerPass], measured: dict[str, float]) -> tuple[Outcome, str]:
    if not hidden:
        return Outcome.PASS, "no hidden layers"
    broken = next((layer.name for layer in hidden if not layer.finite), None)
    if broken is not None:
        return Outcome.FAIL, f"{broken} outputs NaN or infinite values: check its weights and the inputs"
    lost = _inactive_units(hidden)
    if lost is not None:
        return lost
    spread, gradient = measured["spread"], measured["gradient"]
    text = (
        f"over {len(hidden)} hidden layers, the activation std changes from {measured['first_std']:.2g} to "
        f"{measured['last_std']:.2g}; gradient std at the first layer over that at the last: {_ratio_text(gradient)}"
    )
    worst = min(spread, 1 / spread if spread > 0 else 0.0, *([gradient] if math.isfinite(gradient) else []))
    each = spread ** (1 / max(1, len(hidden) - 1)) if math.isfinite(spread) else 1.0
    misfit = spread < MISFIT_TOTAL and each < MISFIT_EACH
    if worst >= MIN_STD_RATIO and not misfit:
        return Outcome.PASS, f"{text}: as expected"
    if worst >= MIN_STD_RATIO:
        text += f" (x{each:.2f} per layer: the weights are too small for the activation)"
    fix = "initialize with scheme 'auto' (He for ReLU, Xavier for tanh), or add BatchNorm between the layers"
    return (Outcome.FAIL if worst < FAIL_STD_RATIO else Outcome.WARN), f"{text}: {fix}"


def _inactive_units(hidden: list[LayerPass]) -> tuple[Outcome, str] | None:
    """Return outcome and message when too many units are dead or saturated, otherwise None."""
    dead = max(hidden, key=lambda layer: layer.dead or 0.0)
    flat = max(hidden, key=lambda layer: layer.saturated or 0.0)
    if (dead.dead or 0.0) > MAX_DEAD:
        text = f"{dead.dead:.0%} of the units of {dead.name} output 0 for every sample"
        fix = "center the inputs, use He initialization, and initialize biases to 0 or 0.01"
        return _outcome(dead.dead or 0.0), f"{text}: {fix}"
    if (flat.saturated or 0.0) > MAX_SATURATED:
        text = f"{flat.saturated:.0%} of the values of {flat.name} are in the saturated range of {flat.activation}"
        return _outcome(flat.saturated or 0.0), f"{text}: standardize the inputs and use Xavier initialization"
    return None


def _outcome(share: float) -> Outcome:
    return Outcome.FAIL if share > FAIL_SHARE else Outcome.WARN


def _ratio_text(share: float) -> str:
    return "not measured" if math.isnan(share) else f"{share:.2g}"


def _curves(layers: list[LayerPass]) -> dict[str, Series]:
    depth = np.arange(1, len(layers) + 1, dtype="int64")
    columns: dict[str, list[float | None]] = {
        "mean": [layer.mean for layer in layers],
        "std": [layer.std for layer in layers],
        "gradient_std": [layer.gradient_std for layer in layers],
        "saturated": [layer.saturated for layer in layers],
        "dead": [layer.dead for layer in layers],
    }
    return {
        name: Series(depth, np.asarray([math.nan if value is None else value for value in values]))
        for name, values in columns.items()
    }
