"""An executor that writes down what another one finds, and knows it again when the search goes on.

A search draws the same configurations again from the same seeds. So to go on, it is run from its beginning: what is
written down is answered at once, and only the rest is trained. At most the rung that was under way is trained again.
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

_EPOCHS: Final = "epochs.json"  # beside the members of a checkpoint: how far each was trained


@final
class CachingExecutor:
    """An `Executor` around another, with a folder to go on from."""

    def __init__(self, inner: Executor, folder: SearchCheckpoint) -> None:
        self._inner = inner
        self._folder = folder
        self._known: dict[tuple[int, int], Result] = {
            (int(result.advance["number"]), result.epochs): result for result in folder.results
        }
        self.known_at_first = len(self._known)
        self._problems: list[str] = []
        self._reached: dict[int, int] = {}  # epochs that the search has asked for, by number
        self._held: dict[int, int] = {}  # epochs that the inner executor has trained
        if (checkpoint := folder.checkpoint()) is not None:
            self._load(checkpoint)

    @property
    def width(self) -> int:
        """That of the other."""
        return self._inner.width

    @property
    def notes(self) -> Sequence[str]:
        """Those of the other, and what could not be written down or read."""
        return [*self._inner.notes, *self._problems]

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """What is known, then what the other finds of the rest."""
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

    def forget(self, numbers: Iterable[int]) -> None:
        """Frees what these members hold; what came of them stays written down."""
        numbers = list(numbers)
        for number in numbers:
            self._reached.pop(number, None)
            self._held.pop(number, None)
        self._inner.forget(numbers)

    def save(self, folder: Path) -> None:
        """As the other does."""
        self._inner.save(folder)

    def load(self, folder: Path) -> None:
        """As the other does."""
        self._inner.load(folder)

    def close(self) -> None:
        """Closes the other."""
        self._inner.close()

    def _note(self, member: TrialConfig, advance: TrainResult, epochs: int) -> None:
        self._held[member.number] = epochs
        result = result_of(advance, epochs=epochs, parameters=member.parameters, seed=member.seed, costs=KEPT_COSTS)
        self._known[member.number, epochs] = result
        self._folder.add(result)

    def _save(self, members: Sequence[TrialConfig]) -> None:
        """A checkpoint before members go on to another rung: so at most that rung is trained twice."""
        if not any(self._held.get(member.number) for member in members):
            return
        try:
            with self._folder.new_checkpoint() as folder:
                self._inner.save(folder)
                held = msgspec.json.encode({str(number): epochs for number, epochs in self._held.items()})
                put(folder / _EPOCHS, held)
        except OSError as problem:
            said = (
                f"the members in training could not be saved in {self._folder.path} ({problem.strerror or problem}); "
                "after an interruption they would be trained from their beginning"
            )
            if said not in self._problems:
                self._problems.append(said)

    def _load(self, checkpoint: Path) -> None:
        found = msgspec.json.decode((checkpoint / _EPOCHS).read_bytes(), type=dict[str, int])
        held = {int(number): epochs for number, epochs in found.items()}
        try:
            self._inner.load(checkpoint)
        except UserError as problem:  # of another kind of executor, or damaged: training again gives the same
            self._problems.append(f"members are trained again from their beginning: {problem}")
            self._inner.forget(held)  # those that were taken up before it was seen
            return
        self._held = held

    def _catch_up(self, members: Sequence[TrialConfig], goals: dict[int, int], epochs: int) -> None:
        """Trains members up to where the search believes them: their results are known, their weights were lost."""
        behind: dict[int, list[TrialConfig]] = {}
        for member in members:
            lacking = goals[member.number] - epochs - self._held.get(member.number, 0)
            if lacking < 0:  # a checkpoint from after this rung: its result was not written any more
                self._inner.forget([member.number])
                lacking = goals[member.number] - epochs
            if lacking:
                behind.setdefault(lacking, []).append(member)
        for lacking, those in behind.items():
            for advance in self._inner.advance(those, epochs=lacking):
                self._held[advance.number] = goals[advance.number] - epochs


def _require_same(result: Result, member: TrialConfig) -> None:
    if result.parameters != dict(member.parameters) or result.seed != member.seed:
        raise UserError(
            f"trial {member.number} would be another one than before ({result.parameters}, now "
            f"{dict(member.parameters)})",
            do="The program or its libraries have changed since: begin anew in another folder",
        )
