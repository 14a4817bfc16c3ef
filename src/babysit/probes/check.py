"""The experiments before training, in the lecture's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, final

from torch import Tensor, nn
from torch.optim import Optimizer

from babysit.data.samples import Samples
from babysit.probes.determinism import determinism
from babysit.probes.fitting import require_fitting
from babysit.probes.initial_loss import initial_loss, initial_loss_regularized
from babysit.probes.initial_signal import initial_signal
from babysit.probes.input_dependence import input_dependence
from babysit.probes.overfit_tiny import overfit_tiny
from babysit.probes.rate_range import rate_range
from babysit.probes.rate_trials import TryRates, rate_trials
from babysit.probes.sample_isolation import sample_isolation
from babysit.probes.step_cost import step_cost
from babysit.probes.symmetric_units import symmetric_units
from babysit.probes.train_eval_agreement import train_eval_agreement
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
    try_rates: TryRates | None = None  # trains the model at several rates, each from the same weights; None: not done


def check(
    model: nn.Module,
    samples: Samples,
    *,
    settings: CheckSettings = CheckSettings(),
    progress: Progress | None = None,
) -> tuple[ProbeResult, ...]:
    """How the model is wired, how its weights begin, the lecture's four experiments, and what a step costs.

    Leaves model, optimizer and random state as they were, to the bit. An experiment that fails to run is SKIPPED and
    says why. Raises UserError when the model cannot take the samples at all.
    """
    require_fitting(model, samples)
    probes = _probes(model, samples, settings)
    bar = None if progress is None else progress.add_task("Checking", total=len(probes))
    results = []
    for name, probe in probes.items():
        if progress is not None and bar is not None:
            progress.update(bar, description=f"Checking: {name}")
        results.append(_attempted(name, probe))
        if progress is not None and bar is not None:
            progress.advance(bar)
    return tuple(results)


def _probes(model: nn.Module, samples: Samples, settings: CheckSettings) -> dict[str, Callable[[], ProbeResult]]:
    """Every experiment by its name: first what is wired wrongly, then what begins wrongly, then what can be learned."""
    seed, loss, size = settings.seed, settings.loss, settings.batch_size
    strength, optimizer, try_rates = settings.regularization, settings.optimizer, settings.try_rates
    side_by_side = try_rates and {"rate-trials": lambda: rate_trials(model, samples, try_rates=try_rates, seed=seed)}
    return {
        "sample-isolation": lambda: sample_isolation(model, samples, seed=seed),
        "input-dependence": lambda: input_dependence(model, samples, seed=seed),
        "determinism": lambda: determinism(model, samples, loss=loss, seed=seed),
        "train-eval-agreement": lambda: train_eval_agreement(model, samples, batch_size=size, seed=seed),
        "initial-signal": lambda: initial_signal(model, samples, loss=loss, seed=seed),
        "symmetric-units": lambda: symmetric_units(model, samples, loss=loss, seed=seed),
        "initial-loss": lambda: initial_loss(model, samples, loss=loss, seed=seed),
        "initial-loss-regularized": lambda: initial_loss_regularized(
            model, samples, strength=strength, loss=loss, seed=seed
        ),
        "overfit-tiny": lambda: overfit_tiny(model, samples, loss=loss, seed=seed),
        "rate-range": lambda: rate_range(model, samples, optimizer=optimizer, loss=loss, batch_size=size, seed=seed),
        **(side_by_side or {}),
        "step-cost": lambda: step_cost(model, samples, optimizer=optimizer, loss=loss, batch_size=size, seed=seed),
    }


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
