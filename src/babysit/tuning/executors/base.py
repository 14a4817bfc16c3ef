"""The executor protocol: trains the members of a search in this process, in worker processes, vectorized or on Ray.

A member is plain data (number, hyperparameters, seed), so it can be sent anywhere; its weights stay with the executor,
which advances members by some epochs and returns losses and a validation metric. A search uses nothing else, so members
may be trained one by one, vectorized, or on other machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, final

from babysit.records.trial import Value

if TYPE_CHECKING:
    from torch import nn

    from babysit.data.samples import Samples

# Hyperparameters that the trainer itself uses, named as in the settings of `fit`; every other one must be used by the
# function that builds the model. Their meaning: training/hyperparameters.py.
UNDERSTOOD: Final = frozenset(
    {
        *("lr", "weight_decay", "optimizer", "batch_size", "momentum", "beta1", "beta2"),
        *("lr_decay", "lr_end", "warmup_steps", "grad_clip_norm", "init_scale"),
    }
)

# Builds a new, untrained model for these hyperparameters, with weights from torch's seeded generator.
Build = Callable[[dict[str, Value]], "nn.Module"]


@final
@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """The settings shared by all members of a search."""

    build: Build
    train: Samples
    validation: Samples
    optimizer: str = "adam"  # if not in the space
    lr: float = 1e-3  # likewise
    weight_decay: float = 0.0  # likewise
    batch_size: int = 64  # likewise
    device: str = "auto"
    precision: str = "32"  # 32; auto: bfloat16 products where accurate and faster; bf16: where accurate
    steps: int = 0  # expected total over all members, 0 if unknown; decides whether compiling pays off


@final
@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One configuration to train. Members of the same seed start from the same draws and see the same data order."""

    number: int  # identifies the member: the same number continues its training
    parameters: Mapping[str, Value]
    seed: int = 0
    epochs: int = 0  # planned total, if known: the schedule reaches `lr_end` by then


@final
@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of training one member for some more epochs."""

    number: int
    step: int  # total optimizer steps
    costs: tuple[float, ...]  # data loss of each batch, before its update; at least one
    initial_cost: float  # loss of the first batch
    metric: float | None = None  # on the validation samples, higher is better; None for a stopped member
    metric_name: str = ""  # accuracy or r2
    stopped: str = ""  # why it was stopped (tuning/early_termination.py), or "failed: …" if its code raised
    seconds: float = 0.0
    backend: str = ""  # how it was trained, for executors with several backends


class Executor(Protocol):
    """Trains members. Results do not depend on which members are trained together, or on their order.

    Contract tests for custom executors: `babysit.testing.executor_contract`.
    """

    @property
    def width(self) -> int:
        """Return how many members to pass at a time: that many can be trained as cheaply as one."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Return notes for the user on how members were trained, one sentence each."""
        ...

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Train each member for some more epochs and yield one result for each, in any order.

        A new number starts from its seed. A member stopped earlier yields its last result again.
        """
        ...

    def release(self, numbers: Iterable[int]) -> None:
        """Free the state of these members; unknown numbers are ignored."""
        ...

    def save(self, folder: Path) -> None:
        """Save all members into an existing folder, each file atomically.

        Raises:
            OSError: the folder cannot be written.
        """
        ...

    def load(self, folder: Path) -> None:
        """Load the members saved there, in addition to those present; training continues bit-identically.

        Raises:
            UserError: the files cannot be read.
        """
        ...

    def close(self) -> None:
        """Free all resources; may be called twice."""
        ...
