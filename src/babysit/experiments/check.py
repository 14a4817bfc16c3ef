"""All pre-training experiments, in the order of the lecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, final

from torch import Tensor, nn
from torch.optim import Optimizer

from babysit.data.samples import Samples
from babysit.experiments.compatibility import check_compatible
from babysit.experiments.determinism import determinism
from babysit.experiments.initial_loss import initial_loss, initial_loss_regularized
from babysit.experiments.initial_signal import initial_signal
from babysit.experiments.input_dependence import input_dependence
from babysit.experiments.lr_range import lr_range
from babysit.experiments.lr_trials import TryRates, lr_trials
from babysit.experiments.overfit_tiny import overfit_tiny
from babysit.experiments.sample_isolation import sample_isolation
from babysit.experiments.step_cost import step_cost
from babysit.experiments.symmetric_units import symmetric_units
from babysit.experiments.train_eval_agreement import train_eval_agreement
from babysit.records.experiment import ExperimentResult, Outcome

if TYPE_CHECKING:
    from rich.progress import Progress

Loss = Callable[[Tensor, Tensor], Tensor]


@final
@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """Settings of the experiments; the defaults follow the lecture."""

    seed: int = 0
    batch_size: int = 64
    regularization: float | None = None  # L2 strength; None: chosen so that the penalty raises the loss by a third
    loss: Loss | None = None  # called with (output, target); None: the default loss of the task
    optimizer: Optimizer | None = None  # its type is used for the LR range test; None: Adam
    try_lrs: TryRates | None = (
        None  # trains the model at several learning rates, each from the same weights; None: skipped
    )


def check(
    model: nn.Module,
    samples: Samples,
    *,
    settings: CheckSettings = CheckSettings(),
    progress: Progress | None = None,
) -> tuple[ExperimentResult, ...]:
    """Run all experiments: wiring, initialization, the four sanity checks of the lecture, and the cost of a step.

    Model, optimizer and random state are restored bit for bit. An experiment that raises is reported as SKIPPED with
    the reason. Raises UserError when the model cannot process the samples at all.
    """
    check_compatible(model, samples)
    experiments = _experiments(model, samples, settings)
    bar = None if progress is None else progress.add_task("Checking", total=len(experiments))
    results = []
    for name, experiment in experiments.items():
        if progress is not None and bar is not None:
            progress.update(bar, description=f"Checking: {name}")
        results.append(_attempted(name, experiment))
        if progress is not None and bar is not None:
            progress.advance(bar)
    return tuple(results)


def _experiments(
    model: nn.Module, samples: Samples, settings: CheckSettings
) -> dict[str, Callable[[], ExperimentResult]]:
    """Map names to experiments: first wiring, then initialization, then learning."""
    seed, loss, size = settings.seed, settings.loss, settings.batch_size
    strength, optimizer, try_lrs = settings.regularization, settings.optimizer, settings.try_lrs
    side_by_side = try_lrs and {"lr-trials": lambda: lr_trials(model, samples, try_lrs=try_lrs, seed=seed)}
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
        "lr-range": lambda: lr_range(model, samples, optimizer=optimizer, loss=loss, batch_size=size, seed=seed),
        **(side_by_side or {}),
        "step-cost": lambda: step_cost(model, samples, optimizer=optimizer, loss=loss, batch_size=size, seed=seed),
    }


def _attempted(name: str, experiment: Callable[[], ExperimentResult]) -> ExperimentResult:
    start = perf_counter()
    try:
        return experiment()
    except Exception as problem:  # one failing experiment must not hide the others
        return ExperimentResult(
            name=name,
            outcome=Outcome.SKIPPED,
            message=f"failed to run: {type(problem).__name__}: {problem}",
            seconds=perf_counter() - start,
        )
