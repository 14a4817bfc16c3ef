"""An executor that trains members of one shape as one."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor

from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.tuning.executors.base import TrainingTask, TrainResult, TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.vectorized import checkpoint
from babysit.tuning.vectorized.backends import Backend
from babysit.tuning.vectorized.chunk import DIFFERS, FOR_PLAIN
from babysit.tuning.vectorized.eligibility import ModelTraits, NotVectorizableError, check_vectorizable, error_location
from babysit.tuning.vectorized.equivalence import is_equivalent
from babysit.tuning.vectorized.group import Group
from babysit.tuning.vectorized.init import (
    InitialState,
    SharedSettings,
    build,
    first_batch,
    fixed_contents,
    isolated_process,
    odd_batch,
    to_state,
)
from babysit.tuning.vectorized.progress import Progress, Record
from babysit.tuning.vectorized.signature import tensors_of
from babysit.tuning.vectorized.state import MemberState
from babysit.tuning.vectorized.validation import outputs

_PLAINLY: Final = "one by one in plain PyTorch"
_DIFFERENT: Final = (
    "some members are trained one by one in plain PyTorch: their costs are not those of the others' module with their "
    "weights, so their code differs in something that cannot be seen from outside"
)


@final
@dataclass(kw_only=True)
class _Kind:
    """What is known of all members of one signature."""

    traits: ModelTraits | None  # None: only plain PyTorch can train them
    groups: dict[str, Group] = field(default_factory=dict)  # by the contents of their fixed tensors


@final
class VectorizedExecutor:
    """An `Executor` for many small networks: members of one shape advance as one step.

    How (`forms.py`) is found out by trying, and told in `notes`. Members that cannot be trained so are trained one by
    one in plain PyTorch. Members alike in everything but their numbers share a group; other shapes, batch sizes or
    optimizers make other groups.

    Args:
        workload: what the members share.
        form: take this way of doing a step instead of calibrating; for tests and for runs that must repeat bit for
            bit, since another form rounds differently.
        told: called after every epoch of a chunk.
    """

    width: int = 64  # more members at a time were measured to be no faster each

    def __init__(
        self, workload: TrainingTask, *, form: Backend | None = None, told: Callable[[Progress], None] | None = None
    ) -> None:
        device = _device(workload.device)
        self._shared = SharedSettings(
            workload=workload,
            device=device,
            train=_moved(workload.train, device),
            validation=_moved(workload.validation, device),
        )
        self._form = form
        self._told = told
        self._plain = SequentialExecutor(workload)
        self._kinds: dict[str, _Kind] = {}
        self._learned: dict[int, tuple[Group, MemberState]] = {}
        self._left_to_plain: set[int] = set()
        self._ended: dict[int, TrainResult] = {}
        self.notes: list[str] = []

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Trains each member for some more epochs; those that die are given back first."""
        groups: dict[tuple[int, int, int], tuple[Group, list[MemberState]]] = {}
        for member in members:
            if member.number in self._ended:
                yield self._ended[member.number]
                continue
            failed = self._prepared(member)
            if failed is not None:
                yield self._end(failed)
            elif member.number in self._left_to_plain:
                yield from self._plainly(member, epochs)
            else:
                group, one = self._learned[member.number]
                groups.setdefault((id(group), one.member.seed, one.epoch), (group, []))[1].append(one)
        for group, alike in groups.values():
            yield from self._trained(group, alike, epochs)

    def forget(self, numbers: Iterable[int]) -> None:
        """Frees what these members hold."""
        for number in list(numbers):
            self._learned.pop(number, None)
            self._ended.pop(number, None)
            self._left_to_plain.discard(number)
            self._plain.forget([number])

    def close(self) -> None:
        """Frees everything but what was compiled, which another population of the same models can use."""
        self._learned.clear()
        self._ended.clear()
        self._kinds.clear()
        self._left_to_plain.clear()
        self._shared.drop_half()
        self._plain.close()

    def save(self, folder: Path) -> None:
        """Writes all members there: into `population.pt`, and those left to plain PyTorch as that executor does."""
        self._plain.save(folder)
        checkpoint.save(
            folder,
            learned=[one for _, one in self._learned.values()],
            ended=self._ended.values(),
            left_to_plain=self._left_to_plain,
        )

    def load(self, folder: Path) -> None:
        """Takes up the members saved there."""
        kept = checkpoint.load(folder)
        self._plain.load(folder)
        self._left_to_plain.update(kept.left_to_plain)
        self._ended |= {advance.number: advance for advance in kept.ended}
        for member, saved in kept.members:
            failed = self._prepared(member)
            if failed is not None or member.number not in self._learned:
                raise UserError(
                    f"member {member.number} cannot be built again as it was",
                    where=str(folder),
                    do="Go on with the code that wrote it, or start anew",
                )
            checkpoint.load_into(self._learned[member.number][1], saved, where=folder)

    def outputs(self, number: int) -> Tensor:
        """What the network of a member under training gives for the validation samples, in eval mode."""
        if number in self._left_to_plain:
            return self._plain.outputs(number)
        group, one = self._learned[number]
        with isolated_process(self._shared.device):
            return outputs(one, group.traits.template, group.fixed, self._shared)

    def _prepared(self, member: TrialConfig) -> TrainResult | None:
        """Sees to it that the member is known; its last result when it cannot even be built."""
        if member.number in self._learned or member.number in self._left_to_plain:
            return None
        with isolated_process(self._shared.device):
            try:
                one = build(member, self._shared)
                self._sort(one)
            except UserError:
                raise
            except Exception as problem:  # the user's model may raise anything; one bad configuration ends alone
                return _failed(member, problem)
        return None

    def _sort(self, one: InitialState) -> None:
        """Puts a new member into the group of its likes, or leaves it to plain PyTorch."""
        number = one.member.number
        kind = self._kinds.get(one.signature)
        if kind is None:
            kind = self._kinds[one.signature] = _Kind(traits=self._traits(one))
        if kind.traits is None:
            self._left_to_plain.add(number)
            return
        contents = fixed_contents(one, kind.traits)
        if contents not in kind.groups:
            tensors = tensors_of(one.model)
            fixed = {name: tensors[name].clone() for name in kind.traits.parts.fixed}
            kind.groups[contents] = Group(
                traits=kind.traits,
                fixed=fixed,
                shared=self._shared,
                signature=f"{one.signature} {contents}",
                form=self._form,
                notes=self.notes,
            )
        group, found = kind.groups[contents], to_state(one, kind.traits, self._shared)
        if is_equivalent(one, found, kind.traits, group.fixed, self._shared):
            self._learned[number] = (group, found)
        else:
            self._note(_DIFFERENT)
            self._left_to_plain.add(number)

    def _traits(self, one: InitialState) -> ModelTraits | None:
        x, y = first_batch(one, self._shared)
        try:
            return check_vectorizable(one.model, x, y, self._shared.loss, odd=odd_batch(one, self._shared))
        except NotVectorizableError as problem:
            self._note(f"trained one by one in plain PyTorch: {problem}")
        except Exception as problem:  # by itself in plain PyTorch it is seen whether the model can be trained
            self._note(f"trained one by one in plain PyTorch: {error_location(problem, one.model)}")
        return None

    def _trained(self, group: Group, alike: list[MemberState], epochs: int) -> Iterator[TrainResult]:
        """Trains the members of a group that are of one seed and epoch."""
        before = alike[0].epoch
        with isolated_process(self._shared.device):
            ready = group.ready(alike, epochs)
        if not ready:
            for one in alike:
                yield from self._begin_plainly(one.member, epochs, before=before)
            return
        record = Record(alike)
        alive = list(alike)
        for left in reversed(range(epochs)):
            done = group.epoch(alive)
            while True:
                # Entered anew for every chunk: between two results the caller's threads and numbers are its own.
                with isolated_process(self._shared.device):
                    part = next(done, None)
                    ended = record.of(part, group, self._shared, last=left == 0) if part is not None else []
                if part is None:
                    break
                gone = {advance.number for advance in ended if advance.stopped}
                reasons = zip(part.members, part.outcome.stopped, strict=True)
                for_plain = {one.member.number: why for one, why in reasons if why.startswith(FOR_PLAIN)}
                alive = [one for one in alive if one.member.number not in gone.union(for_plain)]
                if self._told is not None:
                    self._told(record.progress(len(alive), part.form))
                for advance in ended:
                    yield self._end(advance) if advance.stopped else advance
                for one in part.members:
                    if why := for_plain.get(one.member.number):
                        told = why.removeprefix(FOR_PLAIN)
                        self._note(_DIFFERENT if why == DIFFERS else f"some members are trained {_PLAINLY}: {told}")
                        yield from self._begin_plainly(one.member, epochs, before=before)

    def _begin_plainly(self, member: TrialConfig, epochs: int, *, before: int) -> Iterator[TrainResult]:
        """From its beginning; what it did `before` is known already, and is done again without a word."""
        self._learned.pop(member.number, None)
        self._left_to_plain.add(member.number)
        if before:
            list(self._plain.advance([member], epochs=before))
        yield from self._plainly(member, epochs)

    def _plainly(self, member: TrialConfig, epochs: int) -> Iterator[TrainResult]:
        for advance in self._plain.advance([member], epochs=epochs):
            yield replace(advance, backend=_PLAINLY)

    def _end(self, advance: TrainResult) -> TrainResult:
        self._learned.pop(advance.number, None)
        self._ended[advance.number] = advance
        return advance

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _failed(member: TrialConfig, problem: Exception) -> TrainResult:
    return TrainResult(
        number=member.number,
        step=0,
        costs=(),
        initial_cost=float("nan"),
        stopped=f"failed: {type(problem).__name__}: {problem}{place(problem)}",
        backend=_PLAINLY,
    )


def place(problem: Exception) -> str:
    """File and line of the user's own code that raised, as far as it can be told from torch's."""
    ours = Path(__file__).parents[2]
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and ours not in path.parents and path.exists():
            return f" ({path.name}, line {frame.lineno})"
    return ""


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _moved(samples: Samples, device: torch.device) -> Samples:
    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device)

    return replace(samples, x=moved(samples.x), y=moved(samples.y))
