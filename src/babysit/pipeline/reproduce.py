"""Rebuilding the training of a stored run: settings from its record, data and model from the caller."""

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


def describe_source(kind: type[Settings], run: Run, **overrides: Any) -> Settings:
    """Return settings of a kind from a run's record, validated, with overrides.

    Raises UserError if the record does not contain valid settings.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass, as its callers give
    recorded = {name: value for name, value in run.config.items() if name in names}
    try:
        return msgspec.convert(recorded | overrides, kind)
    except msgspec.ValidationError as problem:
        raise UserError(
            f"the recorded settings of run {run.id} are invalid: {problem}", do="Start a new run instead"
        ) from problem


def require_same_data(run: Run, profile: DataProfile) -> None:
    """Raise UserError if a run was begun with other data."""
    if run.data is not None and run.data.fingerprint != profile.fingerprint:
        raise UserError(
            "the data have changed since this run began",
            where=profile.source,
            do="Start a new run, or restore the previous data",
        )


def rebuild_training(run: Run, *, source: str, model: str) -> tuple[Prepared, FitSettings]:
    """Rebuild the data, model and settings of a run; nothing will be saved.

    Args:
        run: the run to rebuild.
        source: its data.
        model: its model; both come from the caller, since a record must not decide which code or files are loaded.

    Raises:
        UserError: the run was not trained by `fit` or `run`, or its data have changed.
    """
    if run.kind not in ("fit", "pipeline") or "source" not in run.config:
        raise UserError(
            f"run {run.id} is a {run.kind} run: its data and model are not known",
            do="Use a run of `babysit fit` or `babysit run`, or call babysit.try_fixes from Python",
        )
    settings = fit_settings(run, folder=None)
    config = run.config
    ready = prepare(
        source,
        target=str(config.get("target", "")),
        model=model,
        seed=settings.seed,
        reading=Reading(skip_invalid=config.get("skip_invalid", False) is True),
    )
    require_same_data(run, ready.profile)
    return ready, settings
