"""The studies of a search in Optuna's journal file, one for each stage, for optuna-dashboard and other readers.

The search itself uses in-memory studies; this file is updated once per rung. With a file or a database in between,
ask-and-tell would take longer than training small models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from babysit.records.trial import Trial
from babysit.tuning.sampler import distributions, frozen, quiet
from babysit.tuning.space import Space


@final
class StudyFile:
    """Writes the finished trials of every stage; reports errors and never raises, since nothing depends on it."""

    def __init__(self, path: Path, *, name: str) -> None:
        self.path = path
        self._name = name
        self._studies: dict[str, optuna.Study] = {}
        self._written: dict[str, set[int]] = {}
        self._broken = False

    def keep(self, stage: str, space: Space, trials: Sequence[Trial]) -> str:
        """Add the trials that are not in the file yet; return an error message once, or ""."""
        if self._broken:
            return ""
        try:
            study = self._study(stage, space)
            new = [trial for trial in trials if trial.number not in self._written[stage]]
            with quiet():
                for trial in new:
                    study.add_trial(frozen(trial, space))
                    self._written[stage].add(trial.number)
        except Exception as problem:  # a full disk, a lock, another file format: the search continues without it
            self._broken = True
            return f"the study file {self.path} could not be written ({type(problem).__name__}: {problem})"
        return ""

    def _study(self, stage: str, space: Space) -> optuna.Study:
        if stage not in self._studies:
            if not self._studies:
                _repair(self.path)
            with quiet():
                study = optuna.create_study(
                    storage=JournalStorage(JournalFileBackend(str(self.path))),
                    study_name=f"{self._name}/{stage}",
                    direction="maximize",
                    load_if_exists=True,
                )
                study.set_user_attr("space", {name: str(kind) for name, kind in distributions(space).items()})
            self._studies[stage] = study
            self._written[stage] = {int(trial.user_attrs["number"]) for trial in study.get_trials(deepcopy=False)}
        return self._studies[stage]


def _repair(path: Path) -> None:
    """Remove the lock and an incomplete last line that a killed search left; readers would stop there.

    Only the search that holds the folder writes the file, so the lock cannot belong to another process.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        with path.open("rb+") as file:
            complete = file.read().rpartition(b"\n")
            file.truncate(len(complete[0]) + len(complete[1]))
