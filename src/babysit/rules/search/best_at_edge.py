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
    """For each hyperparameter the range of the last stage that tried it."""
    tried = {trial.stage for trial in run.trials}
    last = {piece.parameter: piece for piece in run.ranges if piece.stage in tried and piece.high > piece.low}
    return list(last.values())


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Asks for each hyperparameter whether the best trials lie at an end with the metric rising toward it."""
    constant = from_profile(run.data)
    for piece in last_ranges(run):
        trials = [trial for trial in run.trials if trial.stage == piece.stage]
        placed = position_trials(piece.parameter, position_in(piece), trials, run.trials, constant=constant)
        side = edge(placed)
        if not side:
            continue
        name, end = piece.parameter, piece.high if side == "high" else piece.low
        best = value_in(piece)(placed.finished[0])
        beyond = _beyond(piece, side)
        if not beyond[0] < end < beyond[1]:  # nothing has a meaning past this end
            continue
        wanted = in_text(name, *beyond)
        way = "above" if side == "high" else "below"
        improve = "training losses fall" if placed.blind else "results improve"
        yield Evidence(
            numbers={
                "parameter": name,
                "stage": piece.stage,
                "best": best,
                "low": piece.low,
                "high": piece.high,
                "rank_correlation": placed.correlation,
            },
            message=f"In the {piece.stage} stage the best {name} was {best:.2g}, at the {side} end of {piece.low:.2g} "
            f"to {piece.high:.2g}, and {improve} toward that end (rank correlation {placed.correlation:+.2f}): "
            f"the optimum may lie {way} {end:.2g}.",
            recommendation=f"Search again with {wanted}.",
            fixes=(
                Fix(
                    action="shift_range",
                    target=name,
                    value=wanted.removeprefix(f"{name}="),
                    say=f"Move the range of {name} past {end:.2g}.",
                ),
            ),
        )


def _beyond(piece: StageRange, side: str) -> tuple[float, float]:
    """A range of the same width with the end in its middle, as far as values there have a meaning."""
    middle = piece.high if side == "high" else piece.low
    if piece.log and piece.low > 0:
        half = math.sqrt(piece.high / piece.low)
        low, high = middle / half, middle * half
    else:
        half = (piece.high - piece.low) / 2
        low, high = middle - half, middle + half
    whole = float(piece.low).is_integer() and float(piece.high).is_integer()
    least, most = bounds(piece.parameter, piece.low, whole=whole)
    return max(low, least), min(high, most)


RULE = Rule(
    code="S001",
    name="best-at-edge",
    severity=Severity.WARNING,
    what="The best value of a hyperparameter lies at the edge of its range.",
    why="The optimum may lie outside, where nothing was tried.",
    recommendation="Shift the range so that the best value lies in its middle, and search again.",
    find=find,
    fixes=(Fix(action="shift_range", say="Move the range past the end where the best lie."),),
    false_positives=(
        "Hyperparameters that saturate: beyond some value all results are alike, and the best lies there by chance.",
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
        # Below no dropout at all there is nothing.
        lambda: searched(lambda values: 1 - values["dropout"], {"dropout": (0.0, 0.5)}, log=False),
        # What lies beyond is known to diverge.
        lambda: searched(lambda values: None if values["lr"] > 2e-2 else peak("lr", 1.0)(values), {"lr": (1e-4, 1e-1)}),
    ),
)
