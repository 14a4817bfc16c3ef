"""What a person must say again before a kept run is gone on with: a record is data, and no code runs because of it.

A run that this user began here (its seal says so, see store/origin.py) goes on from what it was told. For any other
run the data are named again on the command line, and where a record names a model, which is code, so is the model.
Folders come from the place of the store.
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
    """A kept run, and what may be done with it."""

    run: Run
    own: bool  # whether this user began it with the settings that it has
    source: str
    model: str


def latest_own(store: Store, *, kind: str, states: Collection[str]) -> Run:
    """The newest run of that kind and one of these states that this user began; those of others are passed over."""
    for line in store.list():
        if line.kind == kind and line.status in states and store.origin(line.id)[1]:
            return store.load(line.id)
    command = "babysit search digits" if kind == "search" else "babysit run digits"
    what = "search" if kind == "search" else "run"
    raise UserError(f"there is no interrupted {what} to go on with that you began here", do=f"Begin one: {command}")


def confirmed(store: Store, run: Run, *, source: str, model: str, command: str) -> Known:
    """The run with the data and model that it is gone on with.

    Args:
        store: where it is kept.
        run: the run as it is kept.
        source: the data as they are named on the command line; "" when they are not.
        model: the model, likewise.
        command: what is to be typed to go on with it, with `{data}` and `{model}` where these belong.

    Raises:
        UserError: something has to be named again, or is named otherwise than the run says.
    """
    origin, own = store.origin(run.id)
    kept_source, kept_model = _text(run, "source"), _text(run, "model")
    again = command.format(data=_shown(kept_source), model=f" --model {_shown(kept_model)}" if kept_model else "")
    if model != kept_model:
        if not model:
            raise UserError(
                f"run {run.id} was trained with the model {_shown(kept_model)}, which is code, and code does not run "
                "because a record names it",
                where=f"{origin.words}, kept in {store.label}",
                do=f"If you know this model and trust it, name it again: {again}",
            )
        began = f"the model {_shown(kept_model)}" if kept_model else "no model of its own"
        raise UserError(
            f"run {run.id} was begun with {began}, not with {_shown(model)}",
            where=store.label,
            do=f"Name the same: {again}",
        )
    if not source and (not own or MASK in kept_source):
        why = "its data are kept without a secret" if own else "it was not begun here by you with these settings"
        raise UserError(
            f"run {run.id} does not go on by itself: {why}",
            where=f"{origin.words}, kept in {store.label}",
            do=f"Look at it first (babysit runs {run.id}), then name its data again: {again}",
        )
    # Other data are noticed by their fingerprint; without one their name has to do.
    if source and source != kept_source and (own or run.data is None):
        raise UserError(
            f"run {run.id} has its data already, and they are not {_shown(source)}",
            where=_shown(kept_source),
            do=f"Leave {source} out, or name the same",
        )
    return Known(run=run, own=own, source=source or kept_source, model=model)


def _text(run: Run, name: str) -> str:
    found = run.config.get(name, "")
    if not isinstance(found, str):
        raise UserError(f"run {run.id} says that its {name} is {found!r:.80}", do="Begin a new run instead")
    return found


def _shown(text: str) -> str:
    return on_one_line(shlex.quote(text), longest=200)
