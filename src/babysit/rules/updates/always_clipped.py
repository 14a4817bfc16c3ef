"""U604: gradient clipping is active on nearly every step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import values_of
from babysit.records.curves import GRADIENT_NORM
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def _limit(run: Run) -> float | None:
    for event in run.events.of("clip"):
        try:
            return float(event.detail)
        except ValueError:
            continue
    return None


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the norms before clipping with the limit."""
    limit, (_, norms) = _limit(run), values_of(run.curves.get(GRADIENT_NORM))
    if limit is None or len(norms) < limits["steps"]:
        return
    share = float(np.mean(norms > limit))
    if share > limits["share"] and float(np.median(norms)) > limits["times"] * limit:
        much = float(np.median(norms)) > limits["much"] * limit
        yield Evidence(
            severity=Severity.WARNING if much and is_underperforming(run) else Severity.INFO,
            numbers={"share": share, "limit": limit, "median_norm": float(np.median(norms))},
            message=f"{100 * share:.0f} % of the steps were clipped to a gradient norm of {limit:g}; the median "
            f"norm before clipping is {np.median(norms):.3g}. Nearly all gradients are rescaled to the same norm.",
        )


RULE = Rule(
    code="U604",
    name="always-clipped",
    severity=Severity.INFO,
    what="Gradient clipping is active on nearly every step.",
    why="Clipping is meant for rare spikes; if always active, it acts as a second, hidden learning rate.",
    recommendation="Set the limit to two or three times the typical norm, and tune the learning rate.",
    find=find,
    needs=("curves", "events"),
    causes=("U602", *NOT_LEARNING),
    limits={
        "share": Limit(0.95, "nearly all steps"),
        "times": Limit(3.0, "the median norm is three times the limit"),
        "much": Limit(30.0, "at such a norm, a suitable learning rate is effectively 30 times too low"),
        "steps": Limit(50, "the first steps are often large"),
    },
    fixes=(
        Fix(
            action="clip_gradients",
            say="Raise the limit.",
            code="torch.nn.utils.clip_grad_norm_(model.parameters(), 3 * usual_norm)",
        ),
    ),
    false_positives=("Under Adam a constant scale is harmless: INFO.",),
    sources=("Pascanu et al. 2013 (arXiv 1211.5063): the limit is 0.5 to 10 times the average norm.",),
    fires_on=(lambda: example_run(kept=((0, "clip", "1"),), curves={"gradient_norm": np.full(200, 9.0)}),),
    silent_on=(healthy, lambda: example_run(kept=((0, "clip", "1"),), curves={"gradient_norm": np.full(200, 0.3)})),
)
