"""Verifies the winner: trains it again, alone and in plain PyTorch, and compares with the recorded results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch

from babysit.nn.losses import score
from babysit.records.model_summary import Task
from babysit.records.trial import Trial
from babysit.tuning.early_termination import KEPT_COSTS
from babysit.tuning.executors.base import TrainingTask, TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor

# Another order of summation changes the seventh digit, and training amplifies that: after some hundred steps, losses of
# the same training were measured to differ by up to 1e-3.
_SAME_COST: Final = 1e-2
_SAME_METRIC: Final = 5e-3


@final
@dataclass(frozen=True, kw_only=True)
class Verification:
    """The results of training the best configurations again, alone."""

    note: str = ""  # compares the winner with its recorded results
    ensemble: float | None = None  # metric of the mean of their predictions
    ensemble_note: str = ""


def verify(trials: Sequence[Trial], workload: TrainingTask, *, compare: bool) -> Verification:
    """Train these configurations alone, the winner first, with their seed and number of epochs.

    Args:
        trials: the winner, and the other members of the ensemble.
        workload: the model and the samples.
        compare: whether to compare the winner's curve with the recorded one.
    """
    executor = SequentialExecutor(workload)
    try:
        outputs = []
        note = ""
        alone = 0.0
        for trial in trials:
            epochs = max(trial.level, 1)
            member = TrialConfig(number=trial.number, parameters=trial.parameters, seed=trial.seed, epochs=epochs)
            (result,) = executor.advance([member], epochs=epochs)
            if trial is trials[0]:
                note = _compared(trial, result.costs, result.metric, result.metric_name) if compare else ""
                alone = result.metric or 0.0
            if not result.stopped and len(trials) > 1:
                outputs.append(executor.outputs(trial.number))
            executor.release([trial.number])
        if len(outputs) < 2:
            return Verification(note=note)
        validation = workload.validation
        together = torch.stack([_probabilities(output, validation.task) for output in outputs]).mean(0)
        name, metric = score(validation.task, together, validation.y.cpu())
        return Verification(
            note=note,
            ensemble=metric,
            ensemble_note=f"ensemble of the best {len(outputs)}: {name} {metric:.3f}, the winner alone {alone:.3f} "
            "(both on the validation samples they were selected by)",
        )
    finally:
        executor.close()


def _compared(trial: Trial, costs: Sequence[float], metric: float | None, name: str) -> str:
    last = costs[-KEPT_COSTS:]
    pairs = list(zip(last, trial.last_costs[-len(last) :], strict=False))
    difference = max((abs(one - other) / max(abs(other), 1e-12) for one, other in pairs), default=0.0)
    text = f"{name} {metric:.3f}" if metric is not None else "none, because it diverged"
    recorded = f"{trial.metric:.3f} was recorded" if trial.metric is not None else "none was recorded"
    same = metric is not None and trial.metric is not None and abs(metric - trial.metric) <= _SAME_METRIC
    verdict = "reproduces" if same and difference <= _SAME_COST else "does not quite reproduce"
    return (
        f"trained again alone, the winner {verdict} its result: {text} where {recorded}, and its last "
        f"{len(pairs)} losses differ by at most {difference:.1g} relatively"
    )


def _probabilities(output: torch.Tensor, task: Task) -> torch.Tensor:
    """Return outputs that can be averaged: class probabilities for classification, else the outputs."""
    return torch.softmax(output, dim=1) if task is Task.CLASSES else output
