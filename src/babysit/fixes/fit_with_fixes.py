"""Trials of the proposed fixes on a training by `fit`."""

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
from babysit.fixes.apply import ACTIONS, Setup, apply
from babysit.fixes.manual import BY_HAND
from babysit.fixes.trial import FixTrial
from babysit.fixes.try_fixes import different, identity, not_tried, ranked, try_fixes
from babysit.records.finding import Finding, Fix
from babysit.records.model_summary import Task
from babysit.records.run import Status
from babysit.training.evaluate import evaluate
from babysit.training.settings import FitSettings

if TYPE_CHECKING:
    from rich.progress import Progress

# Tasks that nn.losses.score gives an accuracy for.
_COUNTED = frozenset({Task.CLASSES, Task.SEQUENCE, Task.BINARY, Task.MULTILABEL})


def try_fixes_of_fit(
    model_factory: Callable[[], nn.Module],
    splits: Splits,
    *,
    settings: FitSettings,
    findings: Sequence[Finding],
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress | None = None,
) -> tuple[FixTrial, ...]:
    """Train unchanged and with each fix of the findings, and rank the fixes by the validation score.

    Args:
        model_factory: builds a new, untrained model; its weights are drawn after the seed is set.
        splits: trained on `train`, scored on `validation`.
        settings: of the unchanged training; its seed is replaced by each of `seeds`, and nothing is saved.
        findings: in rank order; their fixes are tried in that order. Manual fixes come last.
        seeds: three or more.
        progress: shows trainings done.

    Raises:
        UserError: fewer than three seeds, or the unchanged training fails.
    """

    def run_again(fix: Fix | None, seed: int) -> float:
        from babysit.training.fit import fit

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            setup = Setup(model_factory(), replace(settings, seed=seed, folder=None), splits)
            if fix is not None:
                setup = apply(fix, setup)
            result = fit(setup.model, setup.splits, settings=setup.settings)
            if result.run.status == Status.INTERRUPTED:  # fit returns normally on Ctrl-C; stop the other trials too
                raise KeyboardInterrupt
            return validation_score(result.model, setup.splits.validation)

    fixes = different(proposed(findings))
    name, step = _score_of(splits.validation)
    tried = try_fixes(
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
        msgspec.structs.replace(trial, proposed_by=codes[identity(trial.fix)]) for trial in ranked([*tried, *by_hand])
    )


def proposed(findings: Sequence[Finding]) -> list[Fix]:
    """Return the fixes of the findings in order; a learning rate factor is also tried squared, in case it is larger."""
    return [fix for finding in findings for fix in finding.fixes for fix in _with_twice(fix)]


def _with_twice(fix: Fix) -> list[Fix]:
    if fix.action != "scale_lr" or not isinstance(fix.value, float | int):
        return [fix]
    twice = float(fix.value) ** 2
    words = f"Multiply the learning rate by {twice:g}." if twice >= 1 else f"Divide the learning rate by {1 / twice:g}."
    return [fix, Fix(action="scale_lr", value=twice, say=words)]


def _proposed_by(findings: Sequence[Finding]) -> dict[tuple[str, str, object], tuple[str, ...]]:
    codes: dict[tuple[str, str, object], tuple[str, ...]] = {}
    for finding in findings:
        for fix in different(proposed([finding])):
            codes[identity(fix)] = (*codes.get(identity(fix), ()), finding.code)
    return codes


def _score_of(samples: Samples) -> tuple[str, float]:
    """Return the name of the score and its resolution: 1 / targets for an accuracy, 0 for continuous scores."""
    name = "accuracy" if samples.task in _COUNTED else "r2"
    return name, 1 / samples.y.numel() if name == "accuracy" else 0.0


def validation_score(model: nn.Module, samples: Samples) -> float:
    """Return accuracy or explained variance; NaN if an output is not finite."""
    scores = evaluate(model, samples)
    return scores.value if math.isfinite(scores.loss) else math.nan
