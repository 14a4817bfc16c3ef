"""Trains members one after another in this process, in eager PyTorch."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from babysit.data.batches import batches
from babysit.data.samples import Samples
from babysit.nn.losses import loss_for
from babysit.records.errors import UserError
from babysit.training.checkpoint import load_plain, write_atomically
from babysit.training.evaluate import evaluate
from babysit.training.hyperparameters import (
    Hyperparameters,
    clip,
    hyperparameters_of,
    optimizer_for,
    scale_weights,
    set_lr,
)
from babysit.tuning.early_termination import KEPT_COSTS, stop_reason
from babysit.tuning.executors.base import TrainingTask, TrainResult, TrialConfig

_SAVED: Final = "members.pt"


@final
@dataclass(kw_only=True)
class _TrialState:
    """A member under training."""

    member: TrialConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    hyperparameters: Hyperparameters
    random_state: list[Tensor]  # its own, so that dropout does not depend on other members
    epoch: int = 0
    step: int = 0
    initial_cost: float = 0.0
    last_costs: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_COSTS))


@final
class SequentialExecutor:
    """An `Executor` for one process and one thread.

    One thread, because small models lose to thread switching: on a busy two-core machine two threads were measured
    60 times slower than one.
    """

    width: int = 1
    notes: Sequence[str] = ()

    def __init__(self, workload: TrainingTask) -> None:
        self._workload = workload
        self._device = _device(workload.device)
        self._loss = loss_for(workload.train.task)
        self._train = _moved(workload.train, self._device)
        self._validation = _moved(workload.validation, self._device)
        self._states: dict[int, _TrialState] = {}
        self._ended: dict[int, TrainResult] = {}

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Train each member for some more epochs, in the order given."""
        for member in members:
            if member.number not in self._ended:
                result = self._advance(member, epochs)
                if result.stopped:
                    self._states.pop(member.number, None)
                    self._ended[member.number] = result
                yield result
            else:
                yield self._ended[member.number]

    def release(self, numbers: Iterable[int]) -> None:
        """Free the state of these members."""
        for number in numbers:
            self._states.pop(number, None)
            self._ended.pop(number, None)

    def save(self, folder: Path) -> None:
        """Save all members into `members.pt` in the folder."""
        content = {
            "states": [_state_of(state) for state in self._states.values()],
            "ended": [asdict(advance) for advance in self._ended.values()],
        }
        write_atomically(folder / _SAVED, lambda file: torch.save(content, file))

    def load(self, folder: Path) -> None:
        """Rebuild the saved members and restore their weights, optimizer state and random state."""
        content = load_plain(folder / _SAVED, what="state of a search")
        for saved in content["states"]:
            with _own_randomness(self._device):
                state = self._state(TrialConfig(**saved["member"]))
            state.model.load_state_dict(saved["model"])
            state.optimizer.load_state_dict(saved["optimizer"])
            state.random_state = saved["random_state"]
            state.epoch, state.step, state.initial_cost = saved["epoch"], saved["step"], saved["initial_cost"]
            state.last_costs.extend(saved["last_costs"])
        for saved in content["ended"]:
            advance = TrainResult(**{**saved, "costs": tuple(saved["costs"])})
            self._ended[advance.number] = advance

    def outputs(self, number: int) -> Tensor:
        """Return the outputs of a member's network for the validation samples, in eval mode."""
        model = self._states[number].model
        with _one_thread(), _own_randomness(self._device), torch.no_grad():
            model.eval()
            try:
                parts = [model(x) for x, _ in batches(self._validation, size=512, shuffle=False)]
            finally:
                model.train()
        return torch.cat(parts).float().cpu()

    def close(self) -> None:
        """Free all members."""
        self._states.clear()
        self._ended.clear()

    def _advance(self, member: TrialConfig, epochs: int) -> TrainResult:
        began = time.perf_counter()
        costs: list[float] = []
        state: _TrialState | None = None
        metric: float | None = None
        metric_name = ""
        with _one_thread(), _own_randomness(self._device):
            try:
                state = self._state(member)
                _set_random_state(state.random_state, self._device)
                stopped = self._train_epochs(state, member, epochs, costs)
                state.random_state = _random_state(self._device)
                if not stopped:
                    loss, metric_name, metric = evaluate(state.model, self._validation)
                    stopped = stop_reason(state.initial_cost, [loss])
            except UserError:
                raise
            except Exception as problem:  # user code may raise anything; only this configuration ends
                stopped = f"failed: {type(problem).__name__}: {problem}{_location(problem)}"
        return TrainResult(
            number=member.number,
            step=state.step if state else 0,
            costs=tuple(costs),
            initial_cost=state.initial_cost if state else float("nan"),
            metric=None if stopped else metric,
            metric_name=metric_name,
            stopped=stopped,
            seconds=time.perf_counter() - began,
        )

    def _state(self, member: TrialConfig) -> _TrialState:
        state = self._states.get(member.number)
        if state is None:
            torch.manual_seed(member.seed)
            hyperparameters = hyperparameters_of(member, self._workload)
            model = self._workload.build(dict(member.parameters))
            scale_weights(model, hyperparameters.init_scale)
            model.to(self._device)
            state = _TrialState(
                member=member,
                model=model,
                optimizer=optimizer_for(model, hyperparameters),
                hyperparameters=hyperparameters,
                random_state=_random_state(self._device),
            )
            self._states[member.number] = state
        return state

    def _train_epochs(self, state: _TrialState, member: TrialConfig, epochs: int, costs: list[float]) -> str:
        """Train and append to `costs`; return why it stopped, or ""."""
        model, optimizer = state.model, state.optimizer
        model.train()
        for epoch in range(state.epoch, state.epoch + epochs):
            for x, y in batches(self._train, size=state.hyperparameters.batch_size, seed=member.seed, epoch=epoch):
                loss = self._loss(model(x), y)
                cost = loss.item()
                if not state.last_costs:
                    state.initial_cost = cost
                costs.append(cost)
                state.last_costs.append(cost)
                stopped = stop_reason(state.initial_cost, state.last_costs)
                if stopped:
                    return stopped
                set_lr(optimizer, state.hyperparameters.lr_at(state.step, epoch))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
                clip(model, state.hyperparameters.grad_clip_norm)
                optimizer.step()
                state.step += 1
        state.epoch += epochs
        return ""


def _state_of(state: _TrialState) -> dict[str, Any]:
    """Convert a member to plain values and tensors, which load without running code."""
    member = state.member
    return {
        "member": {**asdict(member), "parameters": dict(member.parameters)},
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "random_state": state.random_state,
        "epoch": state.epoch,
        "step": state.step,
        "initial_cost": state.initial_cost,
        "last_costs": list(state.last_costs),
    }


def _location(problem: Exception) -> str:
    """Return file and line of the user code that raised, or ""."""
    frames = traceback.extract_tb(problem.__traceback__)
    ours = Path(__file__).parents[1]
    for frame in reversed(frames):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and ours not in path.parents and path.exists():
            return f" ({path.name}, line {frame.lineno})"
    return ""


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _moved(samples: Samples, device: torch.device) -> Samples:
    return replace(samples, x=samples.x.to(device), y=samples.y.to(device))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Preserve the caller's random state."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _random_state(device: torch.device) -> list[Tensor]:
    state = [torch.get_rng_state()]
    return [*state, torch.cuda.get_rng_state(device)] if device.type == "cuda" else state


def _set_random_state(state: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
