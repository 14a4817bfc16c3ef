"""Initial loss: the loss of the untrained model compared with chance level."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.nn.losses import expected_initial_loss, loss_for
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.model_summary import Task

Loss = Callable[[Tensor, Tensor], Tensor]

# Measured as loss over ln(classes), on MLPs of 1 to 3 hidden layers, ReLU and tanh, with and without BatchNorm, on
# standardized digits, MNIST, wine and breast cancer, 4 seeds each: PyTorch's own initialization 0.88 to 1.30; He or
# Xavier in the last layer too 0.52 to 2.7 (99 % below 2.4); raw pixels 5 % above 12; weights of N(0, 1) mostly above 5.
WARN_BELOW, WARN_ABOVE = 0.75, 1.5
FAIL_BELOW, FAIL_ABOVE = 0.4, 3.0

# Samples are sufficient when the standard error of the mean is small relative to the tolerance: a loss of about 2.3
# has a standard deviation of about 0.5 over samples, so 512 samples give it to 0.02, that is 1 %.
SAMPLES = 512


def initial_loss(model: nn.Module, samples: Samples, *, loss: Loss | None = None, seed: int = 0) -> ExperimentResult:
    """Compare the loss of the untrained model with chance level: ln(classes), ln 2, or the target's variance.

    Measured in train mode on up to 512 samples.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    measured = _data_loss(model, batch, loss=loss, seed=seed)
    expected = _chance_level(samples)
    outcome, message = _evaluate(samples, measured, expected)
    return ExperimentResult(
        name="initial-loss",
        outcome=outcome,
        measured={"loss": measured, "samples": len(batch)},
        expected={"loss": expected},
        message=message,
        seconds=perf_counter() - start,
    )


def initial_loss_regularized(
    model: nn.Module, samples: Samples, *, strength: float | None = None, loss: Loss | None = None, seed: int = 0
) -> ExperimentResult:
    """Check that an L2 penalty of 0.5 · strength · sum of squared weights raises the loss by exactly that amount.

    Without a strength, the penalty is set to a third of the expected loss, as in the lecture, where strength 1e3 on
    its tiny weights raises 2.303 to about 3.07. Biases and normalization scales are not penalized.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    base = _chance_level(samples)
    squares = sum(float(weight.detach().double().square().sum()) for weight in penalized(model))
    if squares == 0:
        return ExperimentResult(
            name="initial-loss-regularized",
            outcome=Outcome.FAIL,
            measured={"squared_weights": 0.0},
            message="all weights are zero: an L2 penalty has no effect and all units learn the same. "
            "Initialize the weights randomly",
            seconds=perf_counter() - start,
        )
    chosen = base / 3 / (0.5 * squares) if strength is None else strength

    def penalty(copy: nn.Module) -> Tensor:
        return 0.5 * chosen * torch.stack([weight.square().sum() for weight in penalized(copy)]).sum()

    measured = _data_loss(model, batch, loss=loss, seed=seed, penalty=penalty)
    plain = _data_loss(model, batch, loss=loss, seed=seed)
    rise = 0.5 * chosen * squares
    # Both losses use the same batch and dropout masks: they differ only by the penalty and float32 rounding.
    reaches = math.isclose(measured - plain, rise, rel_tol=1e-2, abs_tol=1e-3 * abs(plain))
    outcome = Outcome.PASS if math.isfinite(measured) and reaches else Outcome.FAIL
    verb = "as expected" if outcome is Outcome.PASS else f"but should rise by {rise:.3g}: the penalty is not applied"
    return ExperimentResult(
        name="initial-loss-regularized",
        outcome=outcome,
        measured={"loss": measured, "loss_unregularized": plain, "strength": chosen, "squared_weights": squares},
        expected={"loss": base + rise},
        message=f"an L2 penalty of strength {chosen:.3g} raises the loss from {plain:.3f} to {measured:.3f} "
        f"(expected {base + rise:.3f}), {verb}",
        seconds=perf_counter() - start,
    )


def penalized(model: nn.Module) -> list[Tensor]:
    """Return the trainable weights subject to an L2 penalty: matrices and kernels, no biases or scales."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.dim() > 1]


def _chance_level(samples: Samples) -> float:
    outputs = samples.outputs if samples.task is Task.CLASSES else None
    return expected_initial_loss(samples.task, samples.y, outputs=outputs)


def _data_loss(
    model: nn.Module,
    batch: Samples,
    *,
    loss: Loss | None,
    seed: int,
    penalty: Callable[[nn.Module], Tensor] | None = None,
) -> float:
    measure = loss or loss_for(batch.task)
    device = device_of(model)
    with replica(model, seed=seed) as (copy, _), torch.no_grad():
        value = measure(copy(batch.x.to(device)), batch.y.to(device))
        return float(value if penalty is None else value + penalty(copy))


def _evaluate(samples: Samples, measured: float, expected: float) -> tuple[Outcome, str]:
    numbers = f"initial loss {measured:.3g}, chance level {_origin(samples, expected)}"
    if not math.isfinite(measured):
        return Outcome.FAIL, f"{numbers}: check the inputs for NaN or huge values, then the initial weights"
    ratio = measured / expected if expected > 0 else math.inf
    if samples.task is Task.REGRESSION:
        return _evaluate_regression(samples, ratio, numbers)
    if ratio < FAIL_BELOW:
        return (
            Outcome.FAIL,
            f"{numbers}: too low for an untrained model; the loss does not match output and target",
        )
    if ratio > FAIL_ABOVE:
        return (
            Outcome.FAIL,
            f"{numbers}: confidently wrong; standardize the inputs and use smaller weights",
        )
    if ratio > WARN_ABOVE:
        return Outcome.WARN, f"{numbers}: use smaller initial weights in the last layer, or standardize the inputs"
    if ratio < WARN_BELOW:
        return Outcome.WARN, f"{numbers}: low for an untrained model; check how the loss is averaged"
    return Outcome.PASS, f"{numbers}: as expected"


def _evaluate_regression(samples: Samples, ratio: float, numbers: str) -> tuple[Outcome, str]:
    if ratio <= FAIL_ABOVE:
        return Outcome.PASS, f"{numbers}: as expected"
    offset = float(samples.y.float().mean())
    return Outcome.WARN, (
        f"{numbers}: the model has to learn the scale of the target first (mean {offset:.3g}); standardize the target, "
        "or set the bias of the last layer to its mean"
    )


def _origin(samples: Samples, expected: float) -> str:
    if samples.task is Task.CLASSES:
        return f"ln {samples.outputs} = {expected:.3f}"
    if samples.task is Task.REGRESSION:
        return f"{expected:.3g} (variance of the target)"
    return f"{expected:.3f}"
