"""Trains what won once more, alone and in plain PyTorch: does it keep what it promised beside the others?"""

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

# Sums in another order differ in the seventh digit, and training multiplies that: after some hundred steps costs of one
# and the same training were seen to differ by up to a thousandth.
_SAME_COST: Final = 1e-2
_SAME_METRIC: Final = 5e-3


@final
@dataclass(frozen=True, kw_only=True)
class Verification:
    """What came of training the best again, alone."""

    note: str = ""  # how the winner compares with what was recorded of it
    ensemble: float | None = None  # the metric of all of them asked together
    ensemble_note: str = ""


def verify(trials: Sequence[Trial], workload: TrainingTask, *, compare: bool) -> Verification:
    """Trains these configurations alone, the winner first, with the seed and for the epochs that they had.

    Args:
        trials: the winner, and those that are asked together with it.
        workload: the model and the samples.
        compare: whether to say how the winner's curve compares with what was recorded of it.
    """
    executor = SequentialExecutor(workload)
    try:
        outputs = []
        note = ""
        alone = 0.0
        for trial in trials:
            epochs = max(trial.level, 1)
            member = TrialConfig(number=trial.number, parameters=trial.parameters, seed=trial.seed, epochs=epochs)
            (advance,) = executor.advance([member], epochs=epochs)
            if trial is trials[0]:
                note = _compared(trial, advance.costs, advance.metric, advance.metric_name) if compare else ""
                alone = advance.metric or 0.0
            if not advance.stopped and len(trials) > 1:
                outputs.append(executor.outputs(trial.number))
            executor.forget([trial.number])
        if len(outputs) < 2:
            return Verification(note=note)
        validation = workload.validation
        together = torch.stack([_probabilities(output, validation.task) for output in outputs]).mean(0)
        name, metric = score(validation.task, together, validation.y.cpu())
        return Verification(
            note=note,
            ensemble=metric,
            ensemble_note=f"the best {len(outputs)} asked together: {name} {metric:.3f}, the winner alone {alone:.3f} "
            "(both on the validation samples that they were chosen by)",
        )
    finally:
        executor.close()


def _compared(trial: Trial, costs: Sequence[float], metric: float | None, name: str) -> str:
    last = costs[-KEPT_COSTS:]
    pairs = list(zip(last, trial.last_costs[-len(last) :], strict=False))
    difference = max((abs(one - other) / max(abs(other), 1e-12) for one, other in pairs), default=0.0)
    said = f"{name} {metric:.3f}" if metric is not None else "nothing, for it diverged"
    recorded = f"{trial.metric:.3f} was recorded" if trial.metric is not None else "nothing was recorded"
    same = metric is not None and trial.metric is not None and abs(metric - trial.metric) <= _SAME_METRIC
    verdict = "keeps" if same and difference <= _SAME_COST else "does not quite keep"
    return (
        f"trained again alone, the winner {verdict} what it promised: {said} where {recorded}, and its last "
        f"{len(pairs)} costs differ by at most {difference:.1g} of their size"
    )


def _probabilities(output: torch.Tensor, task: Task) -> torch.Tensor:
    """What may be averaged: probabilities of classes; of other tasks the outputs themselves."""
    return torch.softmax(output, dim=1) if task is Task.CLASSES else output
