"""Does the signal reach the last layer, and the gradient the first, before anything is learned?"""

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
# The rules that judge a watched run own these numbers and say where they come from; the experiment warns at the same.
LEAST_SPREAD = SHRINKING_SIGNAL.limits["total"].value
MOST_SATURATED = SATURATED_AT_INIT.limits["share"].value
MOST_DEAD = DEAD_AT_INIT.limits["share"].value
# A warning becomes a failure when next to nothing is left: float32 itself resolves 1e-7 of a sum, and a twentieth of
# the units is what the lecture's worst examples keep (1.0 * N(0, 1) under tanh: above 90 % saturated).
HOPELESS_SPREAD, HOPELESS_SHARE = 1e-5, 0.95
# A scheme that does not fit the activation: Xavier's under ReLU leaves sqrt(1/2) = 0.71 of the spread at each layer,
# the right ones 0.89 (tanh) to 1. A tenth in all is where it begins to be felt.
MISFIT_EACH, MISFIT_SPREAD = 0.8, 0.1


def initial_signal(model: nn.Module, samples: Samples, *, loss: Loss | None = None, seed: int = 0) -> ExperimentResult:
    """Follow 256 samples through the untrained layers, and the gradient back: spread, dead and saturated units.

    `spread` is the standard deviation at the last hidden layer over that at the first, `gradient` that of the gradient
    at the first hidden layer over the last one's: 1 is ideal for both. The last layer is not judged. Curves by depth:
    mean, std, gradient_std, saturated, dead (NaN where the activation cannot).
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
    outcome, message = _judged(hidden, measured)
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


def _judged(hidden: list[LayerPass], measured: dict[str, float]) -> tuple[Outcome, str]:
    if not hidden:
        return Outcome.PASS, "there is no hidden layer for the signal to get lost in"
    broken = next((layer.name for layer in hidden if not layer.finite), None)
    if broken is not None:
        return Outcome.FAIL, f"{broken} passes on NaN or infinite values: look at its weights and at the inputs"
    lost = _lost(hidden)
    if lost is not None:
        return lost
    spread, gradient = measured["spread"], measured["gradient"]
    told = (
        f"over {len(hidden)} hidden layers the spread goes from {measured['first_std']:.2g} to "
        f"{measured['last_std']:.2g}, and of the gradient at the last {_share_in_words(gradient)} arrives at the first"
    )
    worst = min(spread, 1 / spread if spread > 0 else 0.0, *([gradient] if math.isfinite(gradient) else []))
    each = spread ** (1 / max(1, len(hidden) - 1)) if math.isfinite(spread) else 1.0
    misfit = spread < MISFIT_SPREAD and each < MISFIT_EACH
    if worst >= LEAST_SPREAD and not misfit:
        return Outcome.PASS, f"{told}: as it should be"
    if worst >= LEAST_SPREAD:
        told += f" (x{each:.2f} a layer: the weights are too small for the activation)"
    fix = "initialize with scheme 'auto' (He for ReLU, Xavier for tanh), or put BatchNorm between the layers"
    return (Outcome.FAIL if worst < HOPELESS_SPREAD else Outcome.WARN), f"{told}: {fix}"


def _lost(hidden: list[LayerPass]) -> tuple[Outcome, str] | None:
    """Units that pass nothing on, where there are too many of them."""
    dead = max(hidden, key=lambda layer: layer.dead or 0.0)
    flat = max(hidden, key=lambda layer: layer.saturated or 0.0)
    if (dead.dead or 0.0) > MOST_DEAD:
        words = f"{dead.dead:.0%} of the units of {dead.name} answer 0 to every sample"
        fix = "centre the inputs, initialize with He's rule, and let biases begin at 0 or 0.01"
        return _outcome(dead.dead or 0.0), f"{words}: {fix}"
    if (flat.saturated or 0.0) > MOST_SATURATED:
        words = f"{flat.saturated:.0%} of the values of {flat.name} lie in the flat part of its {flat.activation}"
        return _outcome(flat.saturated or 0.0), f"{words}: standardize the inputs and initialize with Xavier's rule"
    return None


def _outcome(share: float) -> Outcome:
    return Outcome.FAIL if share > HOPELESS_SHARE else Outcome.WARN


def _share_in_words(share: float) -> str:
    return "nothing known" if math.isnan(share) else f"x{share:.2g}"


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
