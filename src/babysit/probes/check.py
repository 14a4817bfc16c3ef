"""The experiments before training, in the lecture's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, final

from torch import Tensor, nn
from torch.optim import Optimizer

from babysit.data.samples import Samples
from babysit.probes.fitting import require_fitting
from babysit.probes.initial_loss import initial_loss, initial_loss_regularized
from babysit.probes.overfit_tiny import overfit_tiny
from babysit.probes.rate_range import rate_range
from babysit.records.probe import Outcome, ProbeResult

if TYPE_CHECKING:
    from rich.progress import Progress

Loss = Callable[[Tensor, Tensor], Tensor]


@final
@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """What the experiments take; the defaults are the lecture's."""

    seed: int = 0
    batch_size: int = 64
    regularization: float | None = None  # strength of the L2 penalty; None: one that raises the loss by a third
    loss: Loss | None = None  # called with (output, target); None: the one that suits the task
    optimizer: Optimizer | None = None  # the sweep of rates takes its kind; None: Adam


def check(
    model: nn.Module,
    samples: Samples,
    *,
    settings: CheckSettings = CheckSettings(),
    progress: Progress | None = None,
) -> tuple[ProbeResult, ...]:
    """Initial loss, initial loss with regularization, overfitting twenty samples, and the range of rates.

    Leaves model, optimizer and random state as they were. An experiment that fails to run is SKIPPED and says why.
    Raises UserError when the model cannot take the samples at all.
    """
    require_fitting(model, samples)
    seed, loss = settings.seed, settings.loss
    probes: dict[str, Callable[[], ProbeResult]] = {
        "initial-loss": lambda: initial_loss(model, samples, loss=loss, seed=seed),
        "initial-loss-regularized": lambda: initial_loss_regularized(
            model, samples, strength=settings.regularization, loss=loss, seed=seed
        ),
        "overfit-tiny": lambda: overfit_tiny(model, samples, loss=loss, seed=seed),
        "rate-range": lambda: rate_range(
            model, samples, optimizer=settings.optimizer, loss=loss, batch_size=settings.batch_size, seed=seed
        ),
    }
    bar = None if progress is None else progress.add_task("Checking", total=len(probes))
    results = []
    for name, probe in probes.items():
        if progress is not None and bar is not None:
            progress.update(bar, description=f"Checking: {name}")
        results.append(_attempted(name, probe))
        if progress is not None and bar is not None:
            progress.advance(bar)
    return tuple(results)


def _attempted(name: str, probe: Callable[[], ProbeResult]) -> ProbeResult:
    start = perf_counter()
    try:
        return probe()
    except Exception as problem:  # one failing experiment must not hide the others
        return ProbeResult(
            name=name,
            outcome=Outcome.SKIPPED,
            message=f"could not be run: {type(problem).__name__}: {problem}",
            seconds=perf_counter() - start,
        )
