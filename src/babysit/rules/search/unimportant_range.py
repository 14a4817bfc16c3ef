"""S005: a hyperparameter has no effect within its range."""

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
    """Fit the ranks of the results by a parabola in every hyperparameter, with and without each."""
    ranges = last_ranges(run)
    for stage in dict.fromkeys(stage_range.stage for stage_range in ranges):
        in_stage = [stage_range for stage_range in ranges if stage_range.stage == stage]
        trials = [
            trial
            for trial in run.trials
            if trial.stage == stage
            and _early(trial) is not None
            and all(p.parameter in trial.parameters for p in in_stage)
        ]
        if len(trials) < max(limits["trials"], 4 * len(in_stage) + 2) or len({_early(trial) for trial in trials}) < 3:
            continue
        metrics = _ranks([_early(trial) or 0.0 for trial in trials])
        terms = {
            stage_range.parameter: _parabola(
                [position_in(stage_range)(float(t.parameters[stage_range.parameter])) for t in trials]
            )
            for stage_range in in_stage
        }
        for stage_range in in_stage:
            chance = _chance(metrics, terms, stage_range.parameter)
            if chance > limits["chance"]:
                yield Evidence(
                    numbers={
                        "parameter": stage_range.parameter,
                        "stage": stage,
                        "trials": len(trials),
                        "chance": chance,
                    },
                    message=f"Between {stage_range.low:.2g} and {stage_range.high:.2g}, {stage_range.parameter} "
                    f"had no significant effect in {len(trials)} trials of the {stage} stage (F-test: p = "
                    f"{chance:.2f}).",
                    recommendation=f"Fix {stage_range.parameter} at a typical value and spend the trials on the "
                    "others, or widen its range.",
                )


def _early(trial: Trial) -> float | None:
    """Return the metric of the first rung, at which all trials of a stage were compared, or else the final one."""
    return trial.rungs[0].metric if trial.rungs else trial.metric


def _ranks(values: Sequence[float]) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype="float64")


def _parabola(positions: Sequence[float]) -> Floats:
    centered = np.asarray(positions) - 0.5
    return np.stack([centered, centered**2], axis=1)


def _chance(metrics: Floats, terms: dict[str, Floats], name: str) -> float:
    """Return the p-value of the effect of this hyperparameter (F-test of its two terms)."""
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
    what="A hyperparameter has no effect within its range.",
    why="Trials that differ in it alone are redundant: it can be fixed, or its range is too narrow.",
    recommendation="Fix it, or widen its range.",
    find=find,
    limits={
        "chance": Limit(0.3, "an effect this small occurs by chance in 30 % of cases; chosen to report rarely"),
        "trials": Limit(12, "fewer trials show only the strongest effects"),
    },
    fixes=(Fix(action="fix_value", say="Fix its value and remove it from the search."),),
    false_positives=(
        "Effects that appear only after longer training, or in combination with certain values of another parameter.",
    ),
    sources=("Bergstra and Bengio 2012: few hyperparameters matter, and which ones differs by data set.",),
    fires_on=(lambda: searched(peak("lr", 3e-3), {"lr": (1e-4, 1e-1), "weight_decay": (1e-9, 1e-7)}),),
    silent_on=(sound, lambda: searched(lr_and_decay, {"lr": (1e-4, 1e-1), "weight_decay": (1e-6, 1e-1)})),
)
