"""S001: the best value lies at the edge of its range."""

from __future__ import annotations

import math
from collections.abc import Iterator

from babysit.analysis.constant import from_profile
from babysit.analysis.parameter_bounds import bounds, in_text
from babysit.analysis.trial_positions import edge, position_in, position_trials, value_in
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.records.trial import StageRange
from babysit.rules.rule import Limits, Rule
from babysit.rules.search.example_runs import peak, searched, sound


def last_ranges(run: Run) -> list[StageRange]:
    """Return, for each hyperparameter, the range of the last stage that varied it."""
    tried = {trial.stage for trial in run.trials}
    last = {
        stage_range.parameter: stage_range
        for stage_range in run.ranges
        if stage_range.stage in tried and stage_range.high > stage_range.low
    }
    return list(last.values())


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check for each hyperparameter whether the best trials lie at an end of its range, with a trend toward it."""
    constant = from_profile(run.data)
    for stage_range in last_ranges(run):
        trials = [trial for trial in run.trials if trial.stage == stage_range.stage]
        positions = position_trials(
            stage_range.parameter, position_in(stage_range), trials, run.trials, constant=constant
        )
        side = edge(positions)
        if not side:
            continue
        name, end = stage_range.parameter, stage_range.high if side == "high" else stage_range.low
        best = value_in(stage_range)(positions.finished[0])
        beyond = _beyond(stage_range, side)
        if not beyond[0] < end < beyond[1]:  # no valid values beyond this end
            continue
        wanted = in_text(name, *beyond)
        way = "above" if side == "high" else "below"
        improve = "training losses decrease" if positions.blind else "results improve"
        yield Evidence(
            numbers={
                "parameter": name,
                "stage": stage_range.stage,
                "best": best,
                "low": stage_range.low,
                "high": stage_range.high,
                "rank_correlation": positions.correlation,
            },
            message=f"In the {stage_range.stage} stage the best {name} was {best:.2g}, at the {side} end of "
            f"{stage_range.low:.2g} to {stage_range.high:.2g}, and {improve} toward that end (rank correlation "
            f"{positions.correlation:+.2f}): the optimum may lie {way} {end:.2g}.",
            recommendation=f"Search again with {wanted}.",
            fixes=(
                Fix(
                    action="shift_range",
                    target=name,
                    value=wanted.removeprefix(f"{name}="),
                    say=f"Extend the range of {name} beyond {end:.2g}.",
                ),
            ),
        )


def _beyond(stage_range: StageRange, side: str) -> tuple[float, float]:
    """Return a range of the same width centered at that end, clipped to valid values."""
    middle = stage_range.high if side == "high" else stage_range.low
    if stage_range.log and stage_range.low > 0:
        half = math.sqrt(stage_range.high / stage_range.low)
        low, high = middle / half, middle * half
    else:
        half = (stage_range.high - stage_range.low) / 2
        low, high = middle - half, middle + half
    whole = float(stage_range.low).is_integer() and float(stage_range.high).is_integer()
    least, most = bounds(stage_range.parameter, stage_range.low, whole=whole)
    return max(low, least), min(high, most)


RULE = Rule(
    code="S001",
    name="best-at-edge",
    severity=Severity.WARNING,
    what="The best value of a hyperparameter lies at the edge of its range.",
    why="The optimum may lie outside the range.",
    recommendation="Shift the range so that the best value lies in its middle, and search again.",
    find=find,
    fixes=(Fix(action="shift_range", say="Extend the range beyond the end where the best trials lie."),),
    false_positives=(
        "Hyperparameters that saturate: beyond some value all results are similar, and the best lies there by chance.",
    ),
    sources=(
        "CS231n lecture 6: the best of the fine search lies at the edge of its learning rates, so the range must move.",
        "Google's tuning playbook: extend the search space when the best points lie at its boundary.",
        "Measured: with eight trials and no effect at all it fires in fewer than 4 of 100 cases.",
    ),
    fires_on=(
        lambda: searched(peak("lr", 3e-2), {"lr": (1e-5, 1e-3)}),
        lambda: searched(peak("weight_decay", 1e-8), {"weight_decay": (1e-6, 1e-2)}),
    ),
    silent_on=(
        sound,
        # A dropout probability cannot be negative.
        lambda: searched(lambda values: 1 - values["dropout"], {"dropout": (0.0, 0.5)}, log=False),
        # Trials beyond this end diverged.
        lambda: searched(lambda values: None if values["lr"] > 2e-2 else peak("lr", 1.0)(values), {"lr": (1e-4, 1e-1)}),
    ),
)
