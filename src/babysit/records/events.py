"""Events of a training loop: zero_grad, step, optimizer created, mode switches, clipping, evaluation passes."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from babysit.records.secrets import WithoutSecrets


class Event(WithoutSecrets, msgspec.Struct, frozen=True, kw_only=True):
    """One thing the loop did, and when."""

    TEXTS: ClassVar = ("detail",)

    step: int  # optimizer steps finished before it
    # backward, step, zero_grad, optimizer, train_mode, eval_mode, clip, evaluation, nonfinite, lr, …
    kind: str
    detail: str = ""


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of all events by kind, and selected events one by one."""

    counts: dict[str, int] = {}
    kept: tuple[Event, ...] = ()
    steps: int = 0  # optimizer steps in all

    def of(self, kind: str) -> tuple[Event, ...]:
        """Return the selected events of one kind, in order."""
        return tuple(event for event in self.kept if event.kind == kind)
