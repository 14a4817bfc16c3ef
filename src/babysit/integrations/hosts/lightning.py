"""Lightning callback that monitors `Trainer.fit`."""

from __future__ import annotations

from typing import final

from babysit.integrations.hosts.loop import Watch, watch
from babysit.records.errors import UserError
from babysit.records.run import Run, Status

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.utilities import rank_zero_info
except ImportError as problem:
    raise UserError("Lightning is not installed", do="Run: pip install 'babysit[lightning]'") from problem


@final
class Babysit(Callback):
    """Callback that monitors `Trainer.fit`: `Trainer(callbacks=[Babysit()])`.

    Losses, layers and evaluation passes are recorded as in any other loop; every logged metric is recorded under its
    name. After the training, `run` holds the judged run, which is also saved to the store.

    Args:
        overhead: maximum fraction of the step time for monitoring.
        name: name of the run; the class of the module if empty.
        store: folder or URL of the store, as for `babysit.Store`; None for ./babysit_runs.
    """

    def __init__(self, *, overhead: float = 0.01, name: str = "", store: str | None = None) -> None:
        self.run: Run | None = None
        self._overhead = overhead
        self._url = store
        self._name = name
        self._watch: Watch | None = None
        self._logged: set[tuple[str, int]] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to monitor, on the first process only."""
        if trainer.is_global_zero:
            name = self._name or type(pl_module).__name__
            self._watch = watch(pl_module, name=name, overhead=self._overhead, store=self._url, quiet=True).start()
            self.run = self._watch.run

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the metrics that the module logged."""
        if not trainer.sanity_checking:
            self._log(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the metrics that the module logged."""
        self._log(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge and save the run."""
        self._close(Status.FINISHED)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Judge and save the run so far; the exception propagates."""
        self._close(Status.INTERRUPTED if isinstance(exception, KeyboardInterrupt) else Status.CRASHED, exception)

    def _log(self, trainer: Trainer) -> None:
        if self._watch is None:
            return
        for name, value in trainer.callback_metrics.items():
            # The last finished step; a metric that is logged again at the end of an epoch counts once.
            point = (name, self._watch.steps - 1)
            if value.numel() == 1 and point not in self._logged:
                self._logged.add(point)
                self._watch.log(name, float(value), step=point[1])

    def _close(self, status: Status, error: BaseException | None = None) -> None:
        if self._watch is not None:
            self.run = self._watch.stop(status=status, error=error)
            rank_zero_info(self._watch.summary())
            self._watch = None
