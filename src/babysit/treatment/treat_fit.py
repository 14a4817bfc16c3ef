"""Tries the cures that findings propose on a training by `fit`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.records.finding import Finding, Treatment
from babysit.records.run import Status
from babysit.training.evaluate import evaluate
from babysit.training.settings import FitSettings
from babysit.treatment.apply import Setup, apply
from babysit.treatment.treat import treat
from babysit.treatment.trial import TreatmentTrial

if TYPE_CHECKING:
    from rich.progress import Progress


def treat_fit(
    model_factory: Callable[[], nn.Module],
    splits: Splits,
    *,
    settings: FitSettings,
    findings: Sequence[Finding],
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress | None = None,
) -> tuple[TreatmentTrial, ...]:
    """Trains untreated and with each cure of the findings, and ranks the cures by the validation score.

    Args:
        model_factory: makes a new, untrained model; its weights are drawn after the seed is set.
        splits: trained on `train`, scored on `validation`.
        settings: of the untreated training; its seed is replaced by each of `seeds`, and nothing is saved.
        findings: in rank order; their cures are tried in that order.
        seeds: two or more.
        progress: shows trainings done.

    Raises:
        UserError: fewer than two seeds, or the untreated training cannot be carried out.
    """

    def run_again(treatment: Treatment | None, seed: int) -> float:
        from babysit.training.fit import fit

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            setup = Setup(model_factory(), replace(settings, seed=seed, folder=None), splits)
            if treatment is not None:
                setup = apply(treatment, setup)
            result = fit(setup.model, setup.splits, settings=setup.settings)
            if (
                result.run.status == Status.INTERRUPTED
            ):  # fit ends in order at Ctrl-C; here it must end all the rest too
                raise KeyboardInterrupt
            return validation_score(result.model, setup.splits.validation)

    return treat(run_again, proposed(findings), seeds=seeds, progress=progress)


def proposed(findings: Sequence[Finding]) -> list[Treatment]:
    """The cures of the findings in their order; a scaled rate also twice over, since it may be off by more."""
    cures = []
    for finding in findings:
        for treatment in finding.treatments:
            cures.append(treatment)
            if treatment.action == "scale_rate" and isinstance(treatment.value, float | int):
                twice = float(treatment.value) ** 2
                cures.append(
                    Treatment(action="scale_rate", value=twice, say=f"Multiply the learning rate by {twice:g}.")
                )
    return cures


def validation_score(model: nn.Module, samples: Samples) -> float:
    """Accuracy or explained variance; NaN when the model gives anything that is not finite."""
    scores = evaluate(model, samples)
    return scores.value if math.isfinite(scores.loss) else math.nan
