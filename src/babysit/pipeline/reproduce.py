"""The training of a kept run, once more: its settings read as data, its data and model as the caller names them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import msgspec

from babysit.pipeline.prepare import Prepared, Reading, prepare
from babysit.pipeline.train import fit_settings
from babysit.records.dataprofile import DataProfile
from babysit.records.errors import UserError
from babysit.records.run import Run
from babysit.training.settings import FitSettings

Settings = TypeVar("Settings")


def describe_source(kind: type[Settings], run: Run, **said: Any) -> Settings:
    """The settings of that kind that a run keeps, each of its type, with what is said here in place of the record's.

    Raises UserError when the record does not hold such settings.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass, as its callers give
    kept = {name: value for name, value in run.config.items() if name in names}
    try:
        return msgspec.convert(kept | said, kind)
    except msgspec.ValidationError as problem:
        raise UserError(
            f"the settings that run {run.id} keeps cannot be used: {problem}", do="Begin a new run instead"
        ) from problem


def require_same_data(run: Run, profile: DataProfile) -> None:
    """Raise UserError when a run was begun with other data."""
    if run.data is not None and run.data.fingerprint != profile.fingerprint:
        raise UserError(
            "the data have changed since this run began",
            where=profile.source,
            do="Begin a new run, or bring the former data back",
        )


def rebuild_training(run: Run, *, source: str, model: str) -> tuple[Prepared, FitSettings]:
    """The data, model and settings that a run was trained with; nothing of it will be saved.

    Args:
        run: what was trained.
        source: its data, and
        model: its model: as the caller names them, since a record must not say what is read or run.

    Raises:
        UserError: the run was not trained by `fit` or `run`, or its data have changed.
    """
    if run.kind not in ("fit", "pipeline") or "source" not in run.config:
        raise UserError(
            f"run {run.id} is a {run.kind} run: its data and model are not known here",
            do="Treat one of `babysit fit` or `babysit run`, or call babysit.treat from Python",
        )
    settings = fit_settings(run, folder=None)
    told = run.config
    ready = prepare(
        source,
        target=str(told.get("target", "")),
        model=model,
        seed=settings.seed,
        reading=Reading(skip_invalid=told.get("skip_invalid", False) is True),
    )
    require_same_data(run, ready.profile)
    return ready, settings
