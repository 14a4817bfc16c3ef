"""Detection of steps in training loops that update the weights without a torch.optim optimizer."""

from __future__ import annotations

from typing import Final, final

from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.parameter_registry import ParameterRegistry
from babysit.monitor.step_losses import StepLosses

# More backward passes than this without a weight change are stalled training, not one large batch.
MOST_MICRO_BATCHES: Final = 256
# One or two weight changes between backward passes may come from loading a checkpoint; more indicate training.
CHANGES_OF_A_TRAINING: Final = 3
_UNSEEN: Final = (
    "The weights change without a step of a torch.optim optimizer, as with manual updates or a library with its own "
    "optimizers. Steps are inferred from these changes: the learning rate and the optimizer settings are unknown, "
    "micro-batches cannot be distinguished from steps, and the rules that need them were not evaluated."
)


@final
class ManualUpdateDetector:
    """Detects weight changes between backward passes until the first step of an optimizer."""

    def __init__(self, registry: ParameterRegistry, guard: ErrorBoundary, *, possible: bool) -> None:
        self._registry, self._guard = registry, guard
        self._before: tuple[float, ...] = ()
        self._changes = 0  # weight changes between two backward passes
        self.possible = possible  # True until an optimizer has stepped

    def stepped(self, losses: StepLosses) -> bool:
        """Check whether a step lies between the last backward pass and this one.

        In one large batch in pieces (gradient accumulation), no weight has changed and no gradient was cleared.
        """
        if not self.possible:
            return False
        done = False
        with self._guard.unseen("step"):
            before, self._before = self._before, self._registry.fingerprint()
            still = before == self._before and len(before) > 0
            self._changes += not still and len(before) > 0
            if not still and self._changes == CHANGES_OF_A_TRAINING:
                self._guard.tell(_UNSEEN)
            done = not still or losses.discarded > 0 or len(losses) >= MOST_MICRO_BATCHES
        return done and len(losses) > 0
