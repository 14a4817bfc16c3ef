"""Hyperparameter importance in a stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import optuna

from babysit.records.trial import Trial
from babysit.tuning.sampler import distributions, quiet
from babysit.tuning.space import Space

# On samples whose metric depended on one of two hyperparameters, fANOVA gave that one 0.86 or more with 16 trials or
# more, and 0.51 to 0.86 with 8. Optuna's default, PED-ANOVA, compares the best tenth with the rest, which needs more
# trials.
_LEAST_TRIALS: Final = 12


def importance(trials: Sequence[Trial], space: Space) -> dict[str, float]:
    """Return the importance of each hyperparameter (fANOVA: Hutter et al. 2014), greatest first.

    Empty for fewer than two hyperparameters or too few finished trials. Only finished trials are used: divergence is
    handled by the ranges. Conditional hyperparameters (momentum with some optimizers) are left out, since they were not
    compared across all trials.
    """
    finished = [trial for trial in trials if trial.metric is not None]
    if len(finished) < _LEAST_TRIALS or len(space.dimensions) < 2 or len({trial.metric for trial in finished}) < 2:
        return {}
    with quiet():
        study = optuna.create_study(direction="maximize")
        study.add_trials(_in_full(trial, space) for trial in finished)
        shares = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
    return {name: float(share) for name, share in sorted(shares.items(), key=lambda item: -item[1])}


def _in_full(trial: Trial, space: Space) -> optuna.trial.FrozenTrial:
    """Convert a finished trial, with the distributions of the hyperparameters it has."""
    known = distributions(space)
    return optuna.trial.create_trial(
        value=trial.metric,
        params=dict(trial.parameters),
        distributions={name: known[name] for name in trial.parameters},
    )


def in_a_sentence(shares: dict[str, float], stage: str) -> str:
    """Format the importances as one sentence; "" if there are none."""
    if not shares:
        return ""
    listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return f"hyperparameter importance in the {stage} stage: {listed}"
