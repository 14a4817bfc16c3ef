"""The training under watch, as a stage of a run that can be interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import msgspec

from babysit.pipeline.prepare import Prepared
from babysit.pipeline.resume import OffsetWriter
from babysit.pipeline.run_state import RunState
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.training.checkpoint import NAME, read_checkpoint
from babysit.training.fit import fit
from babysit.training.model_file import save_model
from babysit.training.settings import FitSettings

if TYPE_CHECKING:
    from rich.progress import Progress

    from babysit.store.writer import Writer

MODEL: Final = "model.pt"

# The settings of a training that a run keeps, so that the same can be trained again.
_KEPT: Final = ("lr", "weight_decay", "optimizer", "batch_size", "epochs", "patience", "gap_patience", "seed")


def train(journal: RunState, prepared: Prepared, *, folder: Path, progress: Progress | None = None) -> None:
    """Train as the run's settings say, from a checkpoint in the folder if there is one, and save the model.

    Raises KeyboardInterrupt when interrupted, after keeping what there is.
    """
    checkpoint = folder / NAME
    resume = checkpoint if checkpoint.exists() else None
    first_step = int(read_checkpoint(checkpoint)["step"]) if resume else 0
    fitted = fit(
        prepared.model(journal.seed),
        prepared.splits,
        settings=fit_settings(journal.run, folder=folder),
        writer=cast("Writer", OffsetWriter(journal.writer, first_step)),
        progress=progress,
        resume=resume,
    )
    journal.take(fitted.run, first_step=first_step)
    if fitted.run.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    path = save_model(folder / MODEL, fitted.model, about={"run": journal.run.id, **journal.run.config})
    journal.finish("trained", artifacts={**journal.run.artifacts, **fitted.run.artifacts, "model": str(path)})


def fit_settings(run: Run, *, folder: Path | None) -> FitSettings:
    """The settings of the training that a run has done or is about to do."""
    told = {name: run.config[name] for name in _KEPT if name in run.config}
    try:
        return replace(msgspec.convert(told, FitSettings), folder=folder)
    except msgspec.ValidationError as problem:
        raise UserError(
            f"the settings that run {run.id} keeps cannot be used: {problem}", do="Begin a new run instead"
        ) from problem
