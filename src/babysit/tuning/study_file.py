"""The studies of a search in Optuna's own journal file, one for each stage, for optuna-dashboard and whoever reads it.

The search itself draws from studies in memory; this file only follows, once a rung. With a file or a database in
between, asking and telling would take longer than training small models.
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
    """Writes the ended trials of every stage; problems are told, never raised, since nothing depends on the file."""

    def __init__(self, path: Path, *, name: str) -> None:
        self.path = path
        self._name = name
        self._studies: dict[str, optuna.Study] = {}
        self._kept: dict[str, set[int]] = {}
        self._broken = False

    def keep(self, stage: str, space: Space, trials: Sequence[Trial]) -> str:
        """Adds the trials that are not there yet; says what went wrong, once, or ""."""
        if self._broken:
            return ""
        try:
            study = self._study(stage, space)
            new = [trial for trial in trials if trial.number not in self._kept[stage]]
            with quiet():
                for trial in new:
                    study.add_trial(frozen(trial, space))
                    self._kept[stage].add(trial.number)
        except Exception as problem:  # a full disk, a lock, a file of another make: the search goes on without it
            self._broken = True
            return f"the study file {self.path} could not be written ({type(problem).__name__}: {problem})"
        return ""

    def _study(self, stage: str, space: Space) -> optuna.Study:
        if stage not in self._studies:
            if not self._studies:
                _mend(self.path)
            with quiet():
                study = optuna.create_study(
                    storage=JournalStorage(JournalFileBackend(str(self.path))),
                    study_name=f"{self._name}/{stage}",
                    direction="maximize",
                    load_if_exists=True,
                )
                study.set_user_attr("space", {name: str(kind) for name, kind in distributions(space).items()})
            self._studies[stage] = study
            self._kept[stage] = {int(trial.user_attrs["number"]) for trial in study.get_trials(deepcopy=False)}
        return self._studies[stage]


def _mend(path: Path) -> None:
    """Takes away what a killed search left: its lock, and half a line, which no reader would get past.

    Only the search that holds the folder writes the file, so there is nobody else's lock to break.
    """
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        with path.open("rb+") as file:
            whole = file.read().rpartition(b"\n")
            file.truncate(len(whole[0]) + len(whole[1]))
