"""The vectorized executor: trains members of the same structure together."""

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

_PLAIN_BACKEND: Final = "one by one in plain PyTorch"
_DIFFERENT: Final = (
    "some members are trained one by one in plain PyTorch: with their weights the shared module does not give their "
    "loss, so their code differs in a way that inspection cannot detect"
)


@final
@dataclass(kw_only=True)
class _SignatureGroups:
    """The traits and groups of all members of one signature."""

    traits: ModelTraits | None  # None: not vectorizable
    groups: dict[str, Group] = field(default_factory=dict)  # by hash of their fixed tensors


@final
class VectorizedExecutor:
    """An `Executor` for many small networks: members of the same structure advance as one step.

    The backend (`backends.py`) is chosen by calibration and reported in `notes`. Members that cannot be vectorized are
    trained one by one in eager PyTorch. Members that differ only in numeric hyperparameters share a group; other
    shapes, batch sizes or optimizers make other groups.

    Args:
        workload: settings shared by the members.
        backend: use this backend instead of calibrating; for tests and for runs that must repeat bit for bit, since
            another backend rounds differently.
        on_progress: called after every epoch of a chunk.
    """

    width: int = 64  # measured: more members at a time are not faster per member

    def __init__(
        self,
        workload: TrainingTask,
        *,
        backend: Backend | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        device = _device(workload.device)
        self._shared = SharedSettings(
            workload=workload,
            device=device,
            train=_moved(workload.train, device),
            validation=_moved(workload.validation, device),
        )
        self._backend = backend
        self._on_progress = on_progress
        self._plain = SequentialExecutor(workload)
        self._signatures: dict[str, _SignatureGroups] = {}
        self._members: dict[int, tuple[Group, MemberState]] = {}
        self._eager_only: set[int] = set()
        self._ended: dict[int, TrainResult] = {}
        self.notes: list[str] = []

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Train each member for some more epochs; results of stopped members come first."""
        groups: dict[tuple[int, int, int], tuple[Group, list[MemberState]]] = {}
        for member in members:
            if member.number in self._ended:
                yield self._ended[member.number]
                continue
            failed = self._prepare(member)
            if failed is not None:
                yield self._end(failed)
            elif member.number in self._eager_only:
                yield from self._train_eager(member, epochs)
            else:
                group, one = self._members[member.number]
                groups.setdefault((id(group), one.member.seed, one.epoch), (group, []))[1].append(one)
        for group, alike in groups.values():
            yield from self._train_group(group, alike, epochs)

    def release(self, numbers: Iterable[int]) -> None:
        """Free the state of these members."""
        for number in list(numbers):
            self._members.pop(number, None)
            self._ended.pop(number, None)
            self._eager_only.discard(number)
            self._plain.release([number])

    def close(self) -> None:
        """Free everything except compiled steps, which other executors for the same models can reuse."""
        self._members.clear()
        self._ended.clear()
        self._signatures.clear()
        self._eager_only.clear()
        self._shared.drop_half()
        self._plain.close()

    def save(self, folder: Path) -> None:
        """Save all members: into `population.pt`, and those of the sequential executor as it does."""
        self._plain.save(folder)
        checkpoint.save(
            folder,
            learned=[one for _, one in self._members.values()],
            ended=self._ended.values(),
            left_to_plain=self._eager_only,
        )

    def load(self, folder: Path) -> None:
        """Load the members saved there."""
        saved_state = checkpoint.load(folder)
        self._plain.load(folder)
        self._eager_only.update(saved_state.left_to_plain)
        self._ended |= {advance.number: advance for advance in saved_state.ended}
        for member, saved in saved_state.members:
            failed = self._prepare(member)
            if failed is not None or member.number not in self._members:
                raise UserError(
                    f"member {member.number} cannot be rebuilt identically",
                    where=str(folder),
                    do="Resume with the code that wrote it, or start a new search",
                )
            checkpoint.load_into(self._members[member.number][1], saved, where=folder)

    def outputs(self, number: int) -> Tensor:
        """Return the outputs of a member's network for the validation samples, in eval mode."""
        if number in self._eager_only:
            return self._plain.outputs(number)
        group, one = self._members[number]
        with isolated_process(self._shared.device):
            return outputs(one, group.traits.template, group.fixed, self._shared)

    def _prepare(self, member: TrialConfig) -> TrainResult | None:
        """Build a new member; return a failed result if it cannot be built."""
        if member.number in self._members or member.number in self._eager_only:
            return None
        with isolated_process(self._shared.device):
            try:
                one = build(member, self._shared)
                self._assign(one)
            except UserError:
                raise
            except Exception as problem:  # user code may raise anything; only this configuration ends
                return _failed(member, problem)
        return None

    def _assign(self, one: InitialState) -> None:
        """Assign a new member to its group, or to the sequential executor."""
        number = one.member.number
        kind = self._signatures.get(one.signature)
        if kind is None:
            kind = self._signatures[one.signature] = _SignatureGroups(traits=self._traits(one))
        if kind.traits is None:
            self._eager_only.add(number)
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
                backend=self._backend,
                notes=self.notes,
            )
        group, found = kind.groups[contents], to_state(one, kind.traits, self._shared)
        if is_equivalent(one, found, kind.traits, group.fixed, self._shared):
            self._members[number] = (group, found)
        else:
            self._note(_DIFFERENT)
            self._eager_only.add(number)

    def _traits(self, one: InitialState) -> ModelTraits | None:
        x, y = first_batch(one, self._shared)
        try:
            return check_vectorizable(one.model, x, y, self._shared.loss, odd=odd_batch(one, self._shared))
        except NotVectorizableError as problem:
            self._note(f"trained one by one in plain PyTorch: {problem}")
        except Exception as problem:  # the sequential executor shows whether it can be trained
            self._note(f"trained one by one in plain PyTorch: {error_location(problem, one.model)}")
        return None

    def _train_group(self, group: Group, alike: list[MemberState], epochs: int) -> Iterator[TrainResult]:
        """Train members of a group that have the same seed and epoch."""
        before = alike[0].epoch
        with isolated_process(self._shared.device):
            ready = group.ready(alike, epochs)
        if not ready:
            for one in alike:
                yield from self._fall_back(one.member, epochs, before=before)
            return
        record = Record(alike)
        alive = list(alike)
        for remaining in reversed(range(epochs)):
            done = group.epoch(alive)
            while True:
                # Entered per chunk: between two results, threads and random state are the caller's.
                with isolated_process(self._shared.device):
                    part = next(done, None)
                    ended = record.of(part, group, self._shared, last=remaining == 0) if part is not None else []
                if part is None:
                    break
                stopped = {advance.number for advance in ended if advance.stopped}
                reasons = zip(part.members, part.outcome.stopped, strict=True)
                for_plain = {one.member.number: why for one, why in reasons if why.startswith(FOR_PLAIN)}
                alive = [one for one in alive if one.member.number not in stopped.union(for_plain)]
                if self._on_progress is not None:
                    self._on_progress(record.progress(len(alive), part.backend))
                for advance in ended:
                    yield self._end(advance) if advance.stopped else advance
                for one in part.members:
                    if why := for_plain.get(one.member.number):
                        reason = why.removeprefix(FOR_PLAIN)
                        self._note(
                            _DIFFERENT if why == DIFFERS else f"some members are trained {_PLAIN_BACKEND}: {reason}"
                        )
                        yield from self._fall_back(one.member, epochs, before=before)

    def _fall_back(self, member: TrialConfig, epochs: int, *, before: int) -> Iterator[TrainResult]:
        """Restart a member in eager PyTorch and fast-forward `before` epochs silently."""
        self._members.pop(member.number, None)
        self._eager_only.add(member.number)
        if before:
            list(self._plain.advance([member], epochs=before))
        yield from self._train_eager(member, epochs)

    def _train_eager(self, member: TrialConfig, epochs: int) -> Iterator[TrainResult]:
        for advance in self._plain.advance([member], epochs=epochs):
            yield replace(advance, backend=_PLAIN_BACKEND)

    def _end(self, advance: TrainResult) -> TrainResult:
        self._members.pop(advance.number, None)
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
        stopped=f"failed: {type(problem).__name__}: {problem}{code_location(problem)}",
        backend=_PLAIN_BACKEND,
    )


def code_location(problem: Exception) -> str:
    """Return file and line of the user code that raised, or ""."""
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
