"""Confirmation before a stored run is resumed: a record is data, and never causes code to run.

A run that this user started here (verified by its seal, see store/origin.py) resumes with its recorded settings. For
any other run the data must be named again on the command line. A model is code and must always be named again. Folders
are derived from the location of the store.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from babysit.cli.plain_text import on_one_line
from babysit.records.errors import UserError
from babysit.records.secrets import MASK

if TYPE_CHECKING:
    from collections.abc import Collection

    from babysit.records.run import Run
    from babysit.store.store import Store

LATEST: Final = "latest"


@final
@dataclass(frozen=True, kw_only=True)
class Known:
    """A stored run with its confirmed data and model."""

    run: Run
    own: bool  # whether this user started it with these settings
    source: str
    model: str


def latest_own(store: Store, *, kind: str, states: Collection[str]) -> Run:
    """Load the newest run of a kind and state that this user started; runs of others are skipped."""
    for line in store.list():
        if line.kind == kind and line.status in states and store.origin(line.id)[1]:
            return store.load(line.id)
    command = "babysit search digits" if kind == "search" else "babysit run digits"
    what = "search" if kind == "search" else "run"
    raise UserError(f"there is no interrupted {what} that you started here", do=f"Start one: {command}")


def confirmed(store: Store, run: Run, *, source: str, model: str, command: str) -> Known:
    """Return the run with the data and model to resume with.

    Args:
        store: store of the run.
        run: the stored run.
        source: the data named on the command line, or "".
        model: the model named on the command line, or "".
        command: command that resumes the run, with placeholders `{data}` and `{model}`.

    Raises:
        UserError: data or model must be named again, or differ from those of the run.
    """
    origin, own = store.origin(run.id)
    kept_source, kept_model = _text(run, "source"), _text(run, "model")
    again = command.format(data=_shown(kept_source), model=f" --model {_shown(kept_model)}" if kept_model else "")
    if model != kept_model:
        if not model:
            raise UserError(
                f"run {run.id} uses the model {_shown(kept_model)}; a model is code, which is never executed "
                "just because a record names it",
                where=f"{origin.words}, stored in {store.label}",
                do=f"If you trust this model, name it again: {again}",
            )
        recorded = f"the model {_shown(kept_model)}" if kept_model else "the default model"
        raise UserError(
            f"run {run.id} was started with {recorded}, not with {_shown(model)}",
            where=store.label,
            do=f"Use the same model: {again}",
        )
    if not source and (not own or MASK in kept_source):
        why = (
            "a secret was removed from the name of its data"
            if own
            else "it was not started here by you with these settings"
        )
        raise UserError(
            f"run {run.id} cannot be resumed without confirmation: {why}",
            where=f"{origin.words}, stored in {store.label}",
            do=f"Inspect it (babysit runs {run.id}), then name its data again: {again}",
        )
    # Data are compared by fingerprint; without one, by name.
    if source and source != kept_source and (own or run.data is None):
        raise UserError(
            f"run {run.id} uses other data than {_shown(source)}",
            where=_shown(kept_source),
            do=f"Omit {source}, or name the same data",
        )
    return Known(run=run, own=own, source=source or kept_source, model=model)


def _text(run: Run, name: str) -> str:
    found = run.config.get(name, "")
    if not isinstance(found, str):
        raise UserError(f"run {run.id} has an invalid {name}: {found!r:.80}", do="Start a new run instead")
    return found


def _shown(text: str) -> str:
    return on_one_line(shlex.quote(text), longest=200)
