"""Who trains the members of a search: one Protocol for this process, worker processes, a population or a cluster.

A member is plain data (number, hyperparameters, seed), so it can be sent anywhere; what it has learned stays with the
executor, which is asked to advance members by some epochs and gives back costs and a validation metric. That is all a
search knows, so members may be trained one by one, side by side in one tensor, or on other machines.
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

# What a member's own trainer reads, the rest of `fit`'s settings by the same names; every other hyperparameter must be
# used by the function that builds the model.
# What each of them means: training/hyperparameters.py.
UNDERSTOOD: Final = frozenset(
    {
        *("lr", "weight_decay", "optimizer", "batch_size", "momentum", "beta1", "beta2"),
        *("lr_decay", "lr_end", "warmup_steps", "grad_clip_norm", "init_scale"),
    }
)

# Builds a new, untrained model for these hyperparameters; its weights are drawn from torch's seeded generator.
Build = Callable[[dict[str, Value]], "nn.Module"]


@final
@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """What every member of a search shares."""

    build: Build
    train: Samples
    validation: Samples
    optimizer: str = "adam"  # used when the space has none
    lr: float = 1e-3  # likewise
    weight_decay: float = 0.0  # likewise
    batch_size: int = 64  # likewise
    device: str = "auto"
    precision: str = "32"  # 32; auto: bfloat16 products where that is right and faster; bf16: wherever it is right
    steps: int = 0  # how many lie ahead, of all members together, where that is known: whether preparing much pays


@final
@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One configuration to train. Members of the same seed begin with the same draws and see the same data order."""

    number: int  # its name; the same number means the same member, trained further
    parameters: Mapping[str, Value]
    seed: int = 0
    epochs: int = 0  # how many it would be trained for in all, where that is planned: `lr_end` is reached by then


@final
@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of training one member further."""

    number: int
    step: int  # optimizer steps since its beginning
    costs: tuple[float, ...]  # the data loss of every batch of this advance, before its update; at least one
    initial_cost: float  # the first cost of all
    metric: float | None = None  # on the validation samples, higher is better; None for a stopped member
    metric_name: str = ""  # accuracy or r2
    stopped: str = ""  # why it must not go on (tuning/early_termination.py), or "failed: …" when its code raised
    seconds: float = 0.0
    backend: str = ""  # how it was trained, where an executor has several ways


class Executor(Protocol):
    """Trains members. Results do not depend on which members are trained beside each other, or in which order.

    The suite for an executor of your own: `babysit.testing.executor_contract`.
    """

    @property
    def width(self) -> int:
        """How many members to hand over at a time: it can train that many as cheaply as one."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of how it trained, one sentence each."""
        ...

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Trains each member for some more epochs and yields one result for each, in any order.

        A number not seen before begins from its seed. A member stopped earlier gives its last result again.
        """
        ...

    def forget(self, numbers: Iterable[int]) -> None:
        """Frees what these members hold; unknown numbers are no error."""
        ...

    def save(self, folder: Path) -> None:
        """Writes all members it holds into an existing folder, each file atomically.

        Raises:
            OSError: the folder cannot be written.
        """
        ...

    def load(self, folder: Path) -> None:
        """Takes up the members that were saved there, beside those it holds; they go on to the same numbers.

        Raises:
            UserError: what lies there cannot be read.
        """
        ...

    def close(self) -> None:
        """Frees everything; may be called twice."""
        ...
