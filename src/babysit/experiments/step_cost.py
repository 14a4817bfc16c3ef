"""Time and memory of one training step."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter
from typing import Final, NamedTuple, final

import torch
from torch import Tensor, autograd, nn
from torch.optim import Optimizer

from babysit.data.samples import Samples
from babysit.experiments.optimizers import make_optimizer
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.nn.losses import loss_for
from babysit.records.experiment import ExperimentResult, Outcome

Loss = Callable[[Tensor, Tensor], Tensor]

WARM_UP, MOST_STEPS = 2, 9  # the first steps allocate; a median of nine is robust to interference
ENOUGH_SECONDS: Final = 1.0
MEGABYTE: Final = 1e6


@final
class Phases(NamedTuple):
    """Duration of each phase of one step, in seconds."""

    forward: float
    backward: float
    optimizer: float


def step_cost(
    model: nn.Module,
    samples: Samples,
    *,
    optimizer: Optimizer | None = None,
    loss: Loss | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> ExperimentResult:
    """Time forward, backward and optimizer step of a copy, and measure the memory of a step.

    Medians in milliseconds. Memory in megabytes: parameters, gradients, optimizer state, and the activations saved for
    backward; each tensor's storage counts once. Uses Adam without an optimizer. Never warns.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=batch_size, seed=seed)
    measure = loss or loss_for(samples.task)
    with replica(model, optimizer, seed=seed) as (copy, twin):
        device = device_of(copy)
        x, y = batch.x.to(device), batch.y.to(device)
        stepper = twin or make_optimizer("adam", copy, lr=1e-6)
        saved = _saved_megabytes(copy, x, y, measure)
        phases: list[Phases] = []
        while len(phases) < MOST_STEPS and (len(phases) <= WARM_UP or perf_counter() - start < ENOUGH_SECONDS):
            phases.append(_timed(copy, stepper, x, y, measure))
        parameters = _megabytes(list(copy.parameters()))
        gradients = _megabytes([one.grad for one in copy.parameters() if one.grad is not None])
        states = [value for state in stepper.state.values() for value in state.values() if isinstance(value, Tensor)]
        count = sum(parameter.numel() for parameter in copy.parameters())
    return _result(
        phases[WARM_UP:],
        {"parameters": parameters, "gradients": gradients, "state": _megabytes(states), "activations": saved},
        counts=(count, len(batch), len(samples)),
        seconds=perf_counter() - start,
    )


def _result(
    phases: list[Phases], memory: dict[str, float], *, counts: tuple[int, int, int], seconds: float
) -> ExperimentResult:
    parameters, batch, samples = counts
    forward, backward, stepping = (1e3 * statistics.median(phase) for phase in zip(*phases, strict=True))
    step = forward + backward + stepping
    total = sum(memory.values())
    return ExperimentResult(
        name="step-cost",
        outcome=Outcome.PASS,
        measured={
            "step_milliseconds": step,
            "megabytes": total,
            "parameters": float(parameters),
            "forward_milliseconds": forward,
            "backward_milliseconds": backward,
            "optimizer_milliseconds": stepping,
            "epoch_seconds": step / 1e3 * samples / batch,
            "batch_size": float(batch),
            **{f"{name}_megabytes": value for name, value in memory.items()},
        },
        message=f"one step on {batch} samples takes {step:.3g} ms (forward {forward:.3g}, backward {backward:.3g}, "
        f"optimizer {stepping:.3g}) and uses {total:.3g} MB, of which {memory['activations']:.3g} MB are activations",
        seconds=seconds,
    )


def _timed(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, measure: Loss) -> Phases:
    marks = [_now(x.device)]
    optimizer.zero_grad()
    value = measure(model(x), y)
    marks.append(_now(x.device))
    autograd.backward(value)
    marks.append(_now(x.device))
    # LBFGS evaluates the loss again; the existing value is sufficient for a timing.
    optimizer.step(lambda: float(value.detach()))
    marks.append(_now(x.device))
    return Phases(*(after - before for before, after in pairwise(marks)))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return perf_counter()


def _saved_megabytes(model: nn.Module, x: Tensor, y: Tensor, measure: Loss) -> float:
    """Measure what forward saves for backward, without parameters and the batch."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers(), x, y)}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = measure(model(x), y)
    megabytes = _megabytes([tensor for pointer, tensor in saved.items() if pointer not in known])
    del value
    return megabytes


def _megabytes(tensors: list[Tensor]) -> float:
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values()) / MEGABYTE
