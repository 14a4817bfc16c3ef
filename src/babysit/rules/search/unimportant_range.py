"""S005: a hyperparameter does not matter inside its range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from babysit.analysis.trial_positions import position_in
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.records.trial import Trial
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.search.best_at_edge import last_ranges
from babysit.rules.search.example_runs import lr_and_decay, peak, searched, sound

Floats = NDArray[np.float64]


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Fits the ranks of the results by a parabola in every hyperparameter, with and without each."""
    pieces = last_ranges(run)
    for stage in dict.fromkeys(piece.stage for piece in pieces):
        here = [piece for piece in pieces if piece.stage == stage]
        trials = [
            trial
            for trial in run.trials
            if trial.stage == stage and _early(trial) is not None and all(p.parameter in trial.parameters for p in here)
        ]
        if len(trials) < max(limits["trials"], 4 * len(here) + 2) or len({_early(trial) for trial in trials}) < 3:
            continue
        metrics = _ranks([_early(trial) or 0.0 for trial in trials])
        terms = {
            piece.parameter: _parabola([position_in(piece)(float(t.parameters[piece.parameter])) for t in trials])
            for piece in here
        }
        for piece in here:
            chance = _chance(metrics, terms, piece.parameter)
            if chance > limits["chance"]:
                yield Evidence(
                    numbers={"parameter": piece.parameter, "stage": stage, "trials": len(trials), "chance": chance},
                    message=f"Between {piece.low:.2g} and {piece.high:.2g}, {piece.parameter} made no difference that "
                    f"{len(trials)} trials of the {stage} stage could show (one as large is seen by chance in "
                    f"{chance:.0%} of cases).",
                    recommendation=f"Fix {piece.parameter} at a usual value and spend the trials on the others, or "
                    "widen its "
                    "range.",
                )


def _early(trial: Trial) -> float | None:
    """The metric where all trials of a stage were still compared: the first rung, or the end without halving."""
    return trial.rungs[0].metric if trial.rungs else trial.metric


def _ranks(values: Sequence[float]) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype="float64")


def _parabola(positions: Sequence[float]) -> Floats:
    place = np.asarray(positions) - 0.5
    return np.stack([place, place**2], axis=1)


def _chance(metrics: Floats, terms: dict[str, Floats], name: str) -> float:
    """The probability of as large an effect by chance (F-test of the two terms of this hyperparameter)."""
    from scipy.stats import f

    ones = np.ones((len(metrics), 1))
    without = np.concatenate([ones, *(columns for other, columns in terms.items() if other != name)], axis=1)
    within = np.concatenate([without, terms[name]], axis=1)
    rest, unexplained = _residual(without, metrics), _residual(within, metrics)
    free = len(metrics) - within.shape[1]
    if unexplained <= 1e-12 * max(rest, 1.0):
        return 0.0 if rest > 1e-9 else 1.0
    return float(f.sf((rest - unexplained) / 2 / (unexplained / free), 2, free))


def _residual(columns: Floats, values: Floats) -> float:
    solution, *_ = np.linalg.lstsq(columns, values, rcond=None)
    return float(((values - columns @ solution) ** 2).sum())


RULE = Rule(
    code="S005",
    name="unimportant-range",
    severity=Severity.INFO,
    what="A hyperparameter does not matter inside its range.",
    why="Trials that differ in it alone tell nothing; it can be fixed, or its range asks the wrong question.",
    recommendation="Fix it, or widen its range.",
    find=find,
    limits={
        "chance": Limit(0.3, "an effect this small arises by chance in three cases of ten; chosen to speak seldom"),
        "trials": Limit(12, "fewer trials cannot show anything but the strongest effects"),
    },
    fixes=(Fix(action="fix_value", say="Give it one value and leave it out of the search."),),
    false_positives=("Effects that only show after longer training, or beside certain values of another one.",),
    sources=("Bergstra and Bengio 2012: few hyperparameters matter, and which ones differs by data set.",),
    fires_on=(lambda: searched(peak("lr", 3e-3), {"lr": (1e-4, 1e-1), "weight_decay": (1e-9, 1e-7)}),),
    silent_on=(sound, lambda: searched(lr_and_decay, {"lr": (1e-4, 1e-1), "weight_decay": (1e-6, 1e-1)})),
)
