"""Trains the members one after another in this process, in plain eager PyTorch."""

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
class _Learner:
    """A member under training."""

    member: TrialConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    hyperparameters: Hyperparameters
    random_state: list[Tensor]  # of its own, so that dropout does not depend on who is trained beside it
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
        self._learners: dict[int, _Learner] = {}
        self._ended: dict[int, TrainResult] = {}

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Trains each member for some more epochs, in the order given."""
        for member in members:
            if member.number not in self._ended:
                result = self._advance(member, epochs)
                if result.stopped:
                    self._learners.pop(member.number, None)
                    self._ended[member.number] = result
                yield result
            else:
                yield self._ended[member.number]

    def forget(self, numbers: Iterable[int]) -> None:
        """Frees what these members hold."""
        for number in numbers:
            self._learners.pop(number, None)
            self._ended.pop(number, None)

    def save(self, folder: Path) -> None:
        """Writes all members into `members.pt` there."""
        state = {
            "learners": [_state_of(learner) for learner in self._learners.values()],
            "ended": [asdict(advance) for advance in self._ended.values()],
        }
        write_atomically(folder / _SAVED, lambda file: torch.save(state, file))

    def load(self, folder: Path) -> None:
        """Builds the members saved there anew and gives each its weights, moments and random numbers back."""
        state = load_plain(folder / _SAVED, what="state of a search")
        for saved in state["learners"]:
            with _own_randomness(self._device):
                learner = self._learner(TrialConfig(**saved["member"]))
            learner.model.load_state_dict(saved["model"])
            learner.optimizer.load_state_dict(saved["optimizer"])
            learner.random_state = saved["random_state"]
            learner.epoch, learner.step, learner.initial_cost = saved["epoch"], saved["step"], saved["initial_cost"]
            learner.last_costs.extend(saved["last_costs"])
        for saved in state["ended"]:
            advance = TrainResult(**{**saved, "costs": tuple(saved["costs"])})
            self._ended[advance.number] = advance

    def outputs(self, number: int) -> Tensor:
        """What the network of a member under training gives for the validation samples, in eval mode."""
        model = self._learners[number].model
        with _one_thread(), _own_randomness(self._device), torch.no_grad():
            model.eval()
            try:
                parts = [model(x) for x, _ in batches(self._validation, size=512, shuffle=False)]
            finally:
                model.train()
        return torch.cat(parts).float().cpu()

    def close(self) -> None:
        """Frees everything."""
        self._learners.clear()
        self._ended.clear()

    def _advance(self, member: TrialConfig, epochs: int) -> TrainResult:
        began = time.perf_counter()
        costs: list[float] = []
        learner: _Learner | None = None
        metric: float | None = None
        metric_name = ""
        with _one_thread(), _own_randomness(self._device):
            try:
                learner = self._learner(member)
                _set_random_state(learner.random_state, self._device)
                stopped = self._train_epochs(learner, member, epochs, costs)
                learner.random_state = _random_state(self._device)
                if not stopped:
                    loss, metric_name, metric = evaluate(learner.model, self._validation)
                    stopped = stop_reason(learner.initial_cost, [loss])
            except UserError:
                raise
            except Exception as problem:  # the user's model may raise anything; one bad configuration ends alone
                stopped = f"failed: {type(problem).__name__}: {problem}{_place(problem)}"
        return TrainResult(
            number=member.number,
            step=learner.step if learner else 0,
            costs=tuple(costs),
            initial_cost=learner.initial_cost if learner else float("nan"),
            metric=None if stopped else metric,
            metric_name=metric_name,
            stopped=stopped,
            seconds=time.perf_counter() - began,
        )

    def _learner(self, member: TrialConfig) -> _Learner:
        learner = self._learners.get(member.number)
        if learner is None:
            torch.manual_seed(member.seed)
            hyperparameters = hyperparameters_of(member, self._workload)
            model = self._workload.build(dict(member.parameters))
            scale_weights(model, hyperparameters.init_scale)
            model.to(self._device)
            learner = _Learner(
                member=member,
                model=model,
                optimizer=optimizer_for(model, hyperparameters),
                hyperparameters=hyperparameters,
                random_state=_random_state(self._device),
            )
            self._learners[member.number] = learner
        return learner

    def _train_epochs(self, learner: _Learner, member: TrialConfig, epochs: int, costs: list[float]) -> str:
        """Trains, filling `costs` as it goes; says why it stopped, or ""."""
        model, optimizer = learner.model, learner.optimizer
        model.train()
        for epoch in range(learner.epoch, learner.epoch + epochs):
            for x, y in batches(self._train, size=learner.hyperparameters.batch_size, seed=member.seed, epoch=epoch):
                loss = self._loss(model(x), y)
                cost = loss.item()
                if not learner.last_costs:
                    learner.initial_cost = cost
                costs.append(cost)
                learner.last_costs.append(cost)
                stopped = stop_reason(learner.initial_cost, learner.last_costs)
                if stopped:
                    return stopped
                set_lr(optimizer, learner.hyperparameters.lr_at(learner.step, epoch))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
                clip(model, learner.hyperparameters.grad_clip_norm)
                optimizer.step()
                learner.step += 1
        learner.epoch += epochs
        return ""


def _state_of(learner: _Learner) -> dict[str, Any]:
    """A member as plain values and tensors, which load without running code."""
    member = learner.member
    return {
        "member": {**asdict(member), "parameters": dict(member.parameters)},
        "model": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "random_state": learner.random_state,
        "epoch": learner.epoch,
        "step": learner.step,
        "initial_cost": learner.initial_cost,
        "last_costs": list(learner.last_costs),
    }


def _place(problem: Exception) -> str:
    """File and line of the user's own code that raised, as far as it can be told from torch's."""
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
    """The caller's random numbers go on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _random_state(device: torch.device) -> list[Tensor]:
    state = [torch.get_rng_state()]
    return [*state, torch.cuda.get_rng_state(device)] if device.type == "cuda" else state


def _set_random_state(state: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
