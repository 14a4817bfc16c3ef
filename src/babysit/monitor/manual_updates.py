"""Trainings without an optimizer: the weights are changed by the script itself."""

from __future__ import annotations

from typing import Final, final

from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.parameter_registry import ParameterRegistry
from babysit.monitor.step_losses import StepLosses

# So many backward passes without a change of any weight are a training that stands still, not one large batch.
MOST_MICRO_BATCHES: Final = 256
# Weights that change between backward passes once or twice may have been loaded; more often, something trains them.
CHANGES_OF_A_TRAINING: Final = 3
_UNSEEN: Final = (
    "The weights change without a step of a torch.optim optimizer, as in a training by hand or by a library with "
    "optimizers of its own. Steps are inferred from those changes: the learning rate and the optimizer's settings were "
    "not seen, micro-batches cannot be told from steps, and the rules that need them were not asked."
)


@final
class ManualUpdateDetector:
    """Tells, until an optimizer steps for the first time, whether the weights have changed since the last backward."""

    def __init__(self, book: ParameterRegistry, guard: ErrorBoundary, *, possible: bool) -> None:
        self._book, self._guard = book, guard
        self._before: tuple[float, ...] = ()
        self._changes = 0  # of the weights, between two backward passes
        self.possible = possible  # until an optimizer has stepped

    def stepped(self, losses: StepLosses) -> bool:
        """Whether a step lies between the last backward and this one.

        It may as well be one large batch in pieces: then no weight has changed, and no gradient was cleared.
        """
        if not self.possible:
            return False
        done = False
        with self._guard.unseen("step"):
            before, self._before = self._before, self._book.fingerprint()
            still = before == self._before and len(before) > 0
            self._changes += not still and len(before) > 0
            if not still and self._changes == CHANGES_OF_A_TRAINING:
                self._guard.tell(_UNSEEN)
            done = not still or losses.discarded > 0 or len(losses) >= MOST_MICRO_BATCHES
        return done and len(losses) > 0
