"""The training of a kept run, once more."""

from __future__ import annotations

from babysit.records.problem import UserError
from babysit.records.run import Run
from babysit.routine.prepare import Prepared, Reading, prepare
from babysit.routine.train import fit_settings
from babysit.training.settings import FitSettings


def the_same_again(run: Run) -> tuple[Prepared, FitSettings]:
    """The data, model and settings that a run was trained with; nothing of it will be saved.

    Raises UserError when the run was not trained by `fit` or `run`, or its data have changed.
    """
    if run.kind not in ("fit", "routine") or "source" not in run.config:
        raise UserError(
            f"run {run.id} is a {run.kind} run: its data and model are not known here",
            do="Treat one of `babysit fit` or `babysit run`, or call babysit.treat from Python",
        )
    told = run.config
    ready = prepare(
        str(told["source"]),
        target=str(told["target"]),
        model=str(told["model"]),
        seed=int(told["seed"]),
        reading=Reading(skip_bad=bool(told.get("skip_bad", False))),
    )
    if run.data is not None and run.data.fingerprint != ready.profile.fingerprint:
        raise UserError("the data have changed since that run", where=ready.profile.source)
    return ready, fit_settings(run, folder=None)
