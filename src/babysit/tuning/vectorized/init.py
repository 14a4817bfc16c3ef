"""Initial members: built from their seed, and reference runs of their first steps in eager PyTorch."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, final

import torch
from torch import Tensor, nn

from babysit.data.batches import batch_bounds, batches
from babysit.data.samples import Samples
from babysit.nn.losses import loss_for
from babysit.training.hyperparameters import (
    Hyperparameters,
    clip,
    hyperparameters_of,
    optimizer_for,
    scale_weights,
    set_lr,
)
from babysit.tuning.executors.base import TrainingTask, TrialConfig
from babysit.tuning.vectorized.eligibility import Loss, ModelTraits
from babysit.tuning.vectorized.signature import content_hash, dropout_probabilities, signature, tensors_of
from babysit.tuning.vectorized.state import MemberState, new_moments


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class SharedSettings:
    """Data and settings shared by all members of a search."""

    workload: TrainingTask
    device: torch.device
    train: Samples  # on the device
    validation: Samples
    _halves: dict[str, Samples] = field(default_factory=dict)

    @property
    def loss(self) -> Loss:
        """Return the loss function of the task."""
        return loss_for(self.train.task)

    def train_in(self, *, half: bool) -> Samples:
        """Return the training samples, optionally with inputs in bfloat16, which are cached."""
        if not half:
            return self.train
        if not self._halves:
            self._halves[""] = replace(self.train, x=self.train.x.bfloat16())
        return self._halves[""]

    def drop_half(self) -> None:
        """Free the cached bfloat16 inputs."""
        self._halves.clear()


class InitialState(NamedTuple):
    """A member before its first step."""

    member: TrialConfig
    hyperparameters: Hyperparameters
    model: nn.Module
    random_state: Tensor
    signature: str


def build(member: TrialConfig, shared: SharedSettings) -> InitialState:
    """Build a member from its seed, as the sequential executor does; changes torch's random state."""
    hyperparameters = hyperparameters_of(member, shared.workload)
    torch.manual_seed(member.seed)
    model = shared.workload.build(dict(member.parameters))
    scale_weights(model, hyperparameters.init_scale)
    model.to(shared.device).train()
    return InitialState(member, hyperparameters, model, random_state(shared.device), signature(model, hyperparameters))


def first_batch(one: InitialState, shared: SharedSettings) -> tuple[Tensor, Tensor]:
    """Return the first batch of a member."""
    return next(batches(shared.train, size=one.hyperparameters.batch_size, seed=one.member.seed))


def odd_batch(one: InitialState, shared: SharedSettings) -> tuple[Tensor, Tensor] | None:
    """Return a batch of the size of the last batch of an epoch, or None if that is the usual size."""
    bounds = batch_bounds(len(shared.train), one.hyperparameters.batch_size)
    sizes = [stop - start for start, stop in bounds]
    return None if sizes[-1] == sizes[0] else (shared.train.x[: sizes[-1]].clone(), shared.train.y[: sizes[-1]].clone())


def to_state(one: InitialState, traits: ModelTraits, shared: SharedSettings) -> MemberState:
    """Convert to a MemberState; the model is not used afterwards and may have changed."""
    tensors = tensors_of(one.model)
    parameters = {name: tensors[name].clone() for name in traits.parts.trained}
    moving = {name: tensors[name].clone() for name in traits.parts.moving}
    shares = dropout_probabilities(one.model)
    set_random_state(one.random_state, shared.device)
    x, y = first_batch(one, shared)
    began = clock(shared.device)
    with torch.no_grad():
        cost = float(shared.loss(one.model(x), y))
    return MemberState(
        member=one.member,
        hyperparameters=one.hyperparameters,
        parameters=parameters,
        moments=new_moments(one.hyperparameters, parameters),
        moving=moving,
        random_state=one.random_state,
        dropped=tuple(shares[site.name] for site in traits.sites),
        own_cost=cost,
        forward_seconds=clock(shared.device) - began,
    )


def fixed_contents(one: InitialState, traits: ModelTraits) -> str:
    """Return a hash that is equal for members with equal fixed tensors."""
    tensors = tensors_of(one.model)
    return content_hash({name: tensors[name] for name in traits.parts.fixed})


class ReferenceRun(NamedTuple):
    """Reference results of the first steps in eager PyTorch."""

    costs: list[float]
    sensitivity: list[float]  # relative change of each loss when the weights are perturbed by one rounding
    seconds: float  # per step, including gathering its batch
    gradients: dict[str, Tensor]  # of the first step, as passed to the optimizer
    gradient_sensitivity: dict[
        str, float
    ]  # by how much, relatively, each moves when the weights are moved by one rounding


# One float32 rounding is 6e-8; another order of summation changes a weight by about ten of them per step.
_PERTURBATION: Final = 1e-6
_TIMED_SECONDS, _TIMED_STEPS = 0.12, 200


def reference_run(member: TrialConfig, shared: SharedSettings, *, steps: int) -> ReferenceRun:
    """Train a member for some steps in eager PyTorch, twice: as it is, and with perturbed weights."""
    costs, seconds, gradients = _plain_costs(member, shared, steps=steps, perturbation=0.0)
    others, _, moved = _plain_costs(member, shared, steps=steps, perturbation=_PERTURBATION)
    sensitivity = [
        abs(one - other) / max(abs(one), 1e-12) if math.isfinite(one) and math.isfinite(other) else math.inf
        for one, other in zip(costs, others, strict=True)
    ]
    gradient_sensitivity = {
        name: float((gradient - moved[name]).norm() / gradient.norm().clamp(min=1e-30))
        for name, gradient in gradients.items()
    }
    return ReferenceRun(costs, sensitivity, seconds, gradients, gradient_sensitivity)


def _plain_costs(
    member: TrialConfig, shared: SharedSettings, *, steps: int, perturbation: float
) -> tuple[list[float], float, dict[str, Tensor]]:
    one = build(member, shared)
    optimizer = optimizer_for(one.model, one.hyperparameters)
    if perturbation:
        own = torch.Generator(shared.device).manual_seed(0)
        with torch.no_grad():
            for parameter in one.model.parameters():
                noise = torch.randn(parameter.shape, generator=own, device=shared.device)
                parameter.mul_(1 + perturbation * noise)
    set_random_state(one.random_state, shared.device)
    costs: list[float] = []
    gradients: dict[str, Tensor] = {}
    fastest, spent = math.inf, 0.0
    coming = endless(shared.train, one.hyperparameters, one.member.seed)
    for step in itertools.count():
        began = clock(shared.device)
        x, y = next(coming)
        set_lr(optimizer, one.hyperparameters.lr_at(step, 0))
        loss = shared.loss(one.model(x), y)
        costs.append(loss.item())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        clip(one.model, one.hyperparameters.grad_clip_norm)
        if step == 0:
            found = {name: parameter.grad for name, parameter in one.model.named_parameters()}
            gradients = {name: gradient.clone() for name, gradient in found.items() if gradient is not None}
        optimizer.step()
        took = clock(shared.device) - began
        fastest, spent = min(fastest, took), spent + took
        # Time more steps than are compared, since the first ones are slow.
        if len(costs) >= steps and (perturbation or spent > _TIMED_SECONDS or len(costs) >= _TIMED_STEPS):
            break
    return costs[:steps], fastest, gradients


def endless(samples: Samples, hyperparameters: Hyperparameters, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of full size endlessly, epoch after epoch."""
    full = min(hyperparameters.batch_size, len(samples))
    for epoch in range(1_000_000):
        for x, y in batches(samples, size=hyperparameters.batch_size, seed=seed, epoch=epoch):
            if len(x) >= full:
                yield x, y


def clock(device: torch.device) -> float:
    """Return a clock in seconds; CPU time of this thread on a CPU, which is independent of other load."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.thread_time()


def random_state(device: torch.device) -> Tensor:
    """Return the state of the generator that a forward pass on this device uses."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Set the state of the generator."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


@contextmanager
def isolated_process(device: torch.device) -> Iterator[None]:
    """Use one thread and preserve the caller's random state in the block.

    One thread, because small models are slowed by thread switching: on a busy two-core machine two threads were
    measured 60 times slower than one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
