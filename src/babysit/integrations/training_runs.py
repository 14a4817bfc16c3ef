"""The runs of the trainings that a program runs one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, final

import msgspec

from babysit.analysis.decisive import decisive
from babysit.records.run import Run

Writer = TypeVar("Writer")


@final
class TrainingRuns(Generic[Writer]):
    """Begins and saves one run for each training of a program.

    Args:
        make: returns a new run, not saved.
        open_writer: begins the run in the store and returns its writer.
        save: saves a run that ended and returns it as saved.
    """

    def __init__(
        self, make: Callable[[], Run], open_writer: Callable[[Run], Writer], save: Callable[[Run], Run]
    ) -> None:
        self._make, self._open_writer, self._save = make, open_writer, save
        self.ended: list[Run] = []
        self.current = make()

    def begin(self) -> Writer:
        """Begin the current run and return its writer."""
        return self._open_writer(self.current)

    def next(self, measured: Run) -> Writer:
        """Save the current run as measured, begin the next one and return its writer."""
        self._end(measured)
        run = self._make()
        self.current = msgspec.structs.replace(run, name=f"{run.name}, training {len(self.ended) + 1}".lstrip(", "))
        return self.begin()

    def end(self, measured: Run) -> Run:
        """Save the last run as measured; return the run that decides the verdict of the program."""
        self._end(measured)
        return decisive(self.ended)

    def others(self, run: Run) -> tuple[Run, ...]:
        """Return the runs of the other trainings, in their order."""
        return tuple(other for other in self.ended if other.id != run.id)

    def _end(self, measured: Run) -> None:
        current = self.current
        self.ended.append(
            self._save(msgspec.structs.replace(measured, id=current.id, created=current.created, name=current.name))
        )
