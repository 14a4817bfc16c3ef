"""Is the loss before training what chance predicts?"""

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

# Samples are enough when the mean's own error is small beside the tolerance: a loss of about 2.3 spreads by about 0.5
# from sample to sample, so 512 give it to 0.02, that is 1 %.
SAMPLES = 512


def initial_loss(model: nn.Module, samples: Samples, *, loss: Loss | None = None, seed: int = 0) -> ExperimentResult:
    """Compare the loss of the untrained model with that of guessing: ln(classes), ln 2, or the target's variance.

    Measured in train mode on up to 512 samples. Raises nothing of its own.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    measured = _data_loss(model, batch, loss=loss, seed=seed)
    expected = _guessing(samples)
    outcome, message = _judged(samples, measured, expected)
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
    """Add an L2 penalty, 0.5 · strength · sum of squared weights: the loss must rise by just that.

    Without a strength, the one is taken whose penalty is a third of the expected loss, as in the lecture, where
    strength 1e3 on its tiny weights brings 2.303 to about 3.07. Biases and normalization scales are not penalized.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    base = _guessing(samples)
    squares = sum(float(weight.detach().double().square().sum()) for weight in penalized(model))
    if squares == 0:
        return ExperimentResult(
            name="initial-loss-regularized",
            outcome=Outcome.FAIL,
            measured={"squared_weights": 0.0},
            message="all weights are zero, so a penalty on them changes nothing and every unit learns the same: "
            "initialize the weights randomly",
            seconds=perf_counter() - start,
        )
    chosen = base / 3 / (0.5 * squares) if strength is None else strength

    def penalty(copy: nn.Module) -> Tensor:
        return 0.5 * chosen * torch.stack([weight.square().sum() for weight in penalized(copy)]).sum()

    measured = _data_loss(model, batch, loss=loss, seed=seed, penalty=penalty)
    plain = _data_loss(model, batch, loss=loss, seed=seed)
    rise = 0.5 * chosen * squares
    # Both losses are of the same batch and dropout masks: what differs is the penalty and float32 rounding.
    reaches = math.isclose(measured - plain, rise, rel_tol=1e-2, abs_tol=1e-3 * abs(plain))
    outcome = Outcome.PASS if math.isfinite(measured) and reaches else Outcome.FAIL
    verb = "as it should" if outcome is Outcome.PASS else f"and should rise by {rise:.3g}: the penalty is not computed"
    return ExperimentResult(
        name="initial-loss-regularized",
        outcome=outcome,
        measured={"loss": measured, "loss_unregularized": plain, "strength": chosen, "squared_weights": squares},
        expected={"loss": base + rise},
        message=f"with an L2 penalty of strength {chosen:.3g} the loss goes from {plain:.3f} to {measured:.3f} "
        f"(expected {base + rise:.3f}), {verb}",
        seconds=perf_counter() - start,
    )


def penalized(model: nn.Module) -> list[Tensor]:
    """The trainable weights that an L2 penalty is about: matrices and kernels, no biases, no scales."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.dim() > 1]


def _guessing(samples: Samples) -> float:
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


def _judged(samples: Samples, measured: float, expected: float) -> tuple[Outcome, str]:
    numbers = f"the loss before training is {measured:.3g}, and guessing would cost {_origin(samples, expected)}"
    if not math.isfinite(measured):
        return Outcome.FAIL, f"{numbers}: look for NaN or huge values in the inputs, then in the initial weights"
    ratio = measured / expected if expected > 0 else math.inf
    if samples.task is Task.REGRESSION:
        return _judged_regression(samples, ratio, numbers)
    if ratio < FAIL_BELOW:
        return (
            Outcome.FAIL,
            f"{numbers}: no untrained model knows that much, so the loss does not fit output and target",
        )
    if ratio > FAIL_ABOVE:
        return Outcome.FAIL, f"{numbers}: it is confident and wrong; standardize the inputs and use smaller weights"
    if ratio > WARN_ABOVE:
        return Outcome.WARN, f"{numbers}: make the initial weights of the last layer smaller, or standardize the inputs"
    if ratio < WARN_BELOW:
        return Outcome.WARN, f"{numbers}: low for a model that knows nothing; check how the loss is averaged"
    return Outcome.PASS, f"{numbers}: as it should be"


def _judged_regression(samples: Samples, ratio: float, numbers: str) -> tuple[Outcome, str]:
    if ratio <= FAIL_ABOVE:
        return Outcome.PASS, f"{numbers}: as it should be"
    offset = float(samples.y.float().mean())
    return Outcome.WARN, (
        f"{numbers}: the model first has to learn the target's size (mean {offset:.3g}); standardize the target, "
        "or set the bias of the last layer to its mean"
    )


def _origin(samples: Samples, expected: float) -> str:
    if samples.task is Task.CLASSES:
        return f"ln {samples.outputs} = {expected:.3f}"
    if samples.task is Task.REGRESSION:
        return f"the target's variance, {expected:.3g}"
    return f"{expected:.3f}"
