"""Measures the trainings that a program runs one after another separately: pre-training, fine-tuning, folds."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Final, final

import torch

from babysit.monitor.optimizers import ALONE_STEPS
from babysit.monitor.session import TrainingSession

# Ten folds of a cross-validation. Each training is sampled densely in its first steps, so the number bounds the cost.
MOST_TRAININGS: Final = 10


@final
class LaterTraining:
    """Measures what a new optimizer trains separately from when it is created, once it is known to be a later training.

    The optimizer of a later training is created after the last step of the one before, and steps alone. Where the
    earlier optimizer steps again (a GAN whose discriminator is trained first, an inner loop), both belong to the same
    training: what was measured separately is discarded and the earlier measurement continues.

    Args:
        make: returns a session for the next training, not started.
        begun: called with that session once the training before is over.
    """

    def __init__(self, make: Callable[[], TrainingSession], begun: Callable[[TrainingSession], None]) -> None:
        self._make, self._begun = make, begun
        self._left = MOST_TRAININGS - 1
        self._before: TrainingSession | None = None
        self._first: Callable[[], object | None] = lambda: None  # the optimizer with which the next training begins
        self.session: TrainingSession | None = None  # measures what may be the next training
        self.made: list[TrainingSession] = []  # what to close at the end, also if deciding failed

    def begin(self, before: TrainingSession, optimizer: torch.optim.Optimizer) -> bool:
        """Begin to measure separately; return False where that is not possible or the training before is too short."""
        if self._left <= 0 or self.session is not None or before.steps < ALONE_STEPS:
            return False
        session = self._make()
        self.made.append(session)
        session.later = self
        before.set_aside()
        self._before, self.session, self._first = before, session, weakref.ref(optimizer)
        session.start(at_once=True)
        session.on_optimizer(optimizer)
        return True

    def claims(self, session: TrainingSession, optimizer: torch.optim.Optimizer) -> bool:
        """Check before a step that it belongs to this session; if not, the session before continues."""
        before = self._before
        if before is None or session is not self.session or self._first() is optimizer or not before.stepped(optimizer):
            return True
        self._left, self._before, self.session = 0, None, None
        session.discard()
        before.resume()
        return False

    def step_done(self, session: TrainingSession) -> None:
        """Accept the session as the next training after enough steps."""
        if session is self.session and session.steps >= ALONE_STEPS:
            self._left -= 1
            before, self._before, self.session = self._before, None, None
            try:
                self._begun(session)
                self.made = [session]
            except Exception as problem:  # the session before remains, and reports it
                if before is not None:
                    before.guard.problem("next training", problem)
