"""Executor wrapper that caches results on disk, so that a search can be resumed.

A search proposes the same configurations again from the same seeds. To resume, it runs from its beginning: stored
results are returned immediately, and only the rest is trained. At most the current rung is trained again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, final

import msgspec

from babysit.records.errors import UserError
from babysit.tuning.early_termination import KEPT_COSTS
from babysit.tuning.executors.base import Executor, TrainResult, TrialConfig
from babysit.tuning.search_checkpoint import Result, SearchCheckpoint, put, result_of

_EPOCHS: Final = "epochs.json"  # in a checkpoint: epochs that each member was trained for


@final
class CachingExecutor:
    """An `Executor` that wraps another one and stores its results in a folder."""

    def __init__(self, inner: Executor, folder: SearchCheckpoint) -> None:
        self._inner = inner
        self._folder = folder
        self._known: dict[tuple[int, int], Result] = {
            (int(result.advance["number"]), result.epochs): result for result in folder.results
        }
        self.known_at_first = len(self._known)
        self._problems: list[str] = []
        self._reached: dict[int, int] = {}  # epochs requested by the search, by number
        self._held: dict[int, int] = {}  # epochs that the inner executor has trained
        if (checkpoint := folder.checkpoint()) is not None:
            self._load(checkpoint)

    @property
    def width(self) -> int:
        """Return the width of the wrapped executor."""
        return self._inner.width

    @property
    def notes(self) -> Sequence[str]:
        """Return the notes of the wrapped executor, and errors of reading or writing checkpoints."""
        return [*self._inner.notes, *self._problems]

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Yield the stored results, then train the rest."""
        goals = {member.number: self._reached.get(member.number, 0) + epochs for member in members}
        self._reached.update(goals)
        missing = []
        for member in members:
            result = self._known.get((member.number, goals[member.number]))
            if result is None:
                missing.append(member)
            else:
                _require_same(result, member)
                yield result.as_advance()
        if missing:
            self._save(missing)
            self._catch_up(missing, goals, epochs)
            for advance in self._inner.advance(missing, epochs=epochs):
                member = next(member for member in missing if member.number == advance.number)
                self._note(member, advance, goals[member.number])
                yield advance
            self._folder.sync()

    def release(self, numbers: Iterable[int]) -> None:
        """Free the state of these members; stored results remain."""
        numbers = list(numbers)
        for number in numbers:
            self._reached.pop(number, None)
            self._held.pop(number, None)
        self._inner.release(numbers)

    def save(self, folder: Path) -> None:
        """Save the members of the wrapped executor."""
        self._inner.save(folder)

    def load(self, folder: Path) -> None:
        """Load members into the wrapped executor."""
        self._inner.load(folder)

    def close(self) -> None:
        """Close the wrapped executor."""
        self._inner.close()

    def _note(self, member: TrialConfig, advance: TrainResult, epochs: int) -> None:
        self._held[member.number] = epochs
        result = result_of(advance, epochs=epochs, parameters=member.parameters, seed=member.seed, costs=KEPT_COSTS)
        self._known[member.number, epochs] = result
        self._folder.add(result)

    def _save(self, members: Sequence[TrialConfig]) -> None:
        """Save a checkpoint before members are promoted, so that at most one rung is trained twice."""
        if not any(self._held.get(member.number) for member in members):
            return
        try:
            with self._folder.new_checkpoint() as folder:
                self._inner.save(folder)
                held = msgspec.json.encode({str(number): epochs for number, epochs in self._held.items()})
                put(folder / _EPOCHS, held)
        except OSError as problem:
            note = (
                f"the members in training could not be saved in {self._folder.path} ({problem.strerror or problem}); "
                "after an interruption they would be trained from the start"
            )
            if note not in self._problems:
                self._problems.append(note)

    def _load(self, checkpoint: Path) -> None:
        found = msgspec.json.decode((checkpoint / _EPOCHS).read_bytes(), type=dict[str, int])
        held = {int(number): epochs for number, epochs in found.items()}
        try:
            self._inner.load(checkpoint)
        except UserError as problem:  # another kind of executor, or damaged: retraining gives the same results
            self._problems.append(f"members are trained again from the start: {problem}")
            self._inner.release(held)  # those loaded before the error
            return
        self._held = held

    def _catch_up(self, members: Sequence[TrialConfig], goals: dict[int, int], epochs: int) -> None:
        """Train members whose results are stored, but whose weights were lost, up to their stored epoch."""
        behind: dict[int, list[TrialConfig]] = {}
        for member in members:
            lacking = goals[member.number] - epochs - self._held.get(member.number, 0)
            if lacking < 0:  # a checkpoint from after this rung, whose result was not written
                self._inner.release([member.number])
                lacking = goals[member.number] - epochs
            if lacking:
                behind.setdefault(lacking, []).append(member)
        for lacking, those in behind.items():
            for advance in self._inner.advance(those, epochs=lacking):
                self._held[advance.number] = goals[advance.number] - epochs


def _require_same(result: Result, member: TrialConfig) -> None:
    if result.parameters != dict(member.parameters) or result.seed != member.seed:
        raise UserError(
            f"trial {member.number} differs from the stored one ({result.parameters}, now {dict(member.parameters)})",
            do="The program or its libraries have changed: start a new search in another folder",
        )
