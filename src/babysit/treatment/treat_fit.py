"""Tries the fixes that findings propose on a training by `fit`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import torch
from torch import nn

from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.records.anatomy import Task
from babysit.records.finding import Finding, Treatment
from babysit.records.run import Status
from babysit.training.evaluate import evaluate
from babysit.training.settings import FitSettings
from babysit.treatment.apply import ACTIONS, Setup, apply
from babysit.treatment.by_hand import BY_HAND
from babysit.treatment.treat import different, identity, not_tried, ranked, treat
from babysit.treatment.trial import TreatmentTrial

if TYPE_CHECKING:
    from rich.progress import Progress

# Tasks that nn.losses.score gives an accuracy for.
_COUNTED = frozenset({Task.CLASSES, Task.SEQUENCE, Task.BINARY, Task.MULTILABEL})


def treat_fit(
    model_factory: Callable[[], nn.Module],
    splits: Splits,
    *,
    settings: FitSettings,
    findings: Sequence[Finding],
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress | None = None,
) -> tuple[TreatmentTrial, ...]:
    """Train unchanged and with each fix of the findings, and rank the fixes by the validation score.

    Args:
        model_factory: makes a new, untrained model; its weights are drawn after the seed is set.
        splits: trained on `train`, scored on `validation`.
        settings: of the unchanged training; its seed is replaced by each of `seeds`, and nothing is saved.
        findings: in rank order; their fixes are tried in that order. What has to be made by hand comes last.
        seeds: three or more.
        progress: shows trainings done.

    Raises:
        UserError: fewer than three seeds, or the unchanged training cannot be carried out.
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

    fixes = different(proposed(findings))
    name, step = _score_of(splits.validation)
    tried = treat(
        run_again,
        [fix for fix in fixes if fix.action in ACTIONS],
        seeds=seeds,
        score=name,
        resolution=step,
        progress=progress,
    )
    by_hand = [
        not_tried(fix, BY_HAND.get(fix.action, "no trial knows how")) for fix in fixes if fix.action not in ACTIONS
    ]
    codes = _proposed_by(findings)
    return tuple(
        msgspec.structs.replace(trial, proposed_by=codes[identity(trial.treatment)])
        for trial in ranked([*tried, *by_hand])
    )


def proposed(findings: Sequence[Finding]) -> list[Treatment]:
    """The fixes of the findings in their order; a scaled rate also twice over, since it may be off by more."""
    return [fix for finding in findings for treatment in finding.treatments for fix in _with_twice(treatment)]


def _with_twice(treatment: Treatment) -> list[Treatment]:
    if treatment.action != "scale_rate" or not isinstance(treatment.value, float | int):
        return [treatment]
    twice = float(treatment.value) ** 2
    words = f"Multiply the learning rate by {twice:g}." if twice >= 1 else f"Divide the learning rate by {1 / twice:g}."
    return [treatment, Treatment(action="scale_rate", value=twice, say=words)]


def _proposed_by(findings: Sequence[Finding]) -> dict[tuple[str, str, object], tuple[str, ...]]:
    codes: dict[tuple[str, str, object], tuple[str, ...]] = {}
    for finding in findings:
        for fix in different(proposed([finding])):
            codes[identity(fix)] = (*codes.get(identity(fix), ()), finding.code)
    return codes


def _score_of(samples: Samples) -> tuple[str, float]:
    """The name of the score, and its smallest step: an accuracy counts targets, anything else is continuous."""
    name = "accuracy" if samples.task in _COUNTED else "r2"
    return name, 1 / samples.y.numel() if name == "accuracy" else 0.0


def validation_score(model: nn.Module, samples: Samples) -> float:
    """Accuracy or explained variance; NaN when the model gives anything that is not finite."""
    scores = evaluate(model, samples)
    return scores.value if math.isfinite(scores.loss) else math.nan
