"""Training stage of the pipeline, resumable from its checkpoint."""

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

# Settings of the training that are stored with a run, to reproduce it.
_STORED: Final = ("lr", "weight_decay", "optimizer", "batch_size", "epochs", "patience", "gap_patience", "seed")


def train(state: RunState, prepared: Prepared, *, folder: Path, progress: Progress | None = None) -> None:
    """Train with the run's settings, from a checkpoint in the folder if there is one, and save the model.

    Raises KeyboardInterrupt on interruption, after saving the progress.
    """
    checkpoint = folder / NAME
    resume = checkpoint if checkpoint.exists() else None
    first_step = int(read_checkpoint(checkpoint)["step"]) if resume else 0
    fitted = fit(
        prepared.model(state.seed),
        prepared.splits,
        settings=fit_settings(state.run, folder=folder),
        writer=cast("Writer", OffsetWriter(state.writer, first_step)),
        progress=progress,
        resume=resume,
    )
    state.merge(fitted.run, first_step=first_step)
    if fitted.run.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    path = save_model(folder / MODEL, fitted.model, about={"run": state.run.id, **state.run.config})
    state.finish("trained", artifacts={**state.run.artifacts, **fitted.run.artifacts, "model": str(path)})


def fit_settings(run: Run, *, folder: Path | None) -> FitSettings:
    """Return the settings of a run's training. Raises UserError if the record is invalid."""
    recorded = {name: run.config[name] for name in _STORED if name in run.config}
    try:
        return replace(msgspec.convert(recorded, FitSettings), folder=folder)
    except msgspec.ValidationError as problem:
        raise UserError(
            f"the recorded settings of run {run.id} are invalid: {problem}", do="Start a new run instead"
        ) from problem
