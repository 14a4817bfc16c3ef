"""O208: a non-negative loss is negative."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.loss_curve import Levels, levels
from babysit.analysis.model_structure import BINARY_LOSSES, BOUNDED_LOSSES, manual_updates, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective, ValueSummary
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, NOT_LEARNING
from babysit.rules.examples import BATCH, binary, classes, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def _targets_outside(objective: Objective, margin: float) -> bool:
    target = objective.target
    return (
        objective.loss in BINARY_LOSSES
        and bool(target.shape)
        and not -margin <= target.low <= target.high <= 1 + margin
    )


def _lowest(objective: Objective, level: Levels | None) -> float | None:
    """Return the lowest value of this loss without other terms, from the loss itself or from its curve."""
    own = objective.lowest_value
    if level is None or objective.composite or objective.sign < 0 or level.best >= 0:
        return own
    return level.lowest if own is None else min(own, level.lowest)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for targets outside [0, 1] in binary cross-entropy, and for negative values of bounded losses."""
    objectives = model_summary_of(run).objectives
    level = levels(run)
    for number, objective in enumerate(objectives):
        target = objective.target
        numbers: dict[str, float | int | str | bool] = {"objective": number, "loss": objective.loss}
        # A reward times a log-probability may be negative; rewards have both signs, wrong labels mostly one.
        if manual_updates(objective) and (objective.target.low < 0 or objective.loss not in BINARY_LOSSES):
            continue
        if _targets_outside(objective, limits["margin"]):
            yield Evidence(
                first_step=0,
                numbers=numbers | {"target_low": target.low, "target_high": target.high},
                message=f"{objective.loss} expects targets from 0 to 1 and gets {target.low:.3g} to "
                f"{target.high:.3g}: the loss has no lower bound, so a decrease is meaningless.",
                recommendation="Scale the targets to [0, 1], or use cross_entropy for class indices and mse_loss "
                "for continuous values.",
            )
            continue
        lowest = _lowest(objective, level if len(objectives) == 1 else None)
        if objective.loss in BOUNDED_LOSSES and lowest is not None and lowest < -limits["margin"]:
            yield Evidence(
                numbers=numbers | {"lowest_loss": lowest},
                message=f"{objective.loss} reached {lowest:.4g}, although it cannot be negative for valid inputs.",
            )


RULE = Rule(
    code="O208",
    name="impossible-loss",
    early=True,
    severity=Severity.ERROR,
    what="A loss that is bounded below by 0 is negative, or gets targets for which it has no lower bound.",
    why="The optimizer decreases the loss without bound and nothing is learned.",
    recommendation="Check the inputs of the loss: targets within [0, 1] for binary losses, log-probabilities for "
    "nll_loss.",
    find=find,
    needs=("model_summary",),
    limits={"margin": Limit(1e-3, "rounding, and hand-written label smoothing")},
    causes=(*NOT_LEARNING, *BLOWING_UP, "A402"),
    fixes=(
        Fix(action="set_loss", value="cross_entropy", say="Use a loss that fits the targets."),
        Fix(action="scale_target", say="Scale the targets to [0, 1].", code="y = (y - y.min()) / (y.max() - y.min())"),
    ),
    false_positives=(
        "Losses that may be negative (ELBO, cosine, Gaussian likelihood) are not checked.",
        "A total that other terms make negative (an entropy bonus, a log-variance): only the loss itself is checked.",
    ),
    sources=("-t log p - (1-t) log(1-p) is bounded below only for t within [0, 1].",),
    fires_on=(
        lambda: example_run(
            objective=binary(target=ValueSummary(shape=(BATCH, 1), low=-1, high=1, variance=1.0)), loss=flat(-5.0)
        ),
        lambda: example_run(objective=classes(loss="nll_loss"), loss=flat(-4.0)),
        lambda: example_run(objective=classes(loss="nll_loss", composite=True, lowest_value=-4.0), loss=flat(1.0)),
    ),
    silent_on=(
        healthy,
        lambda: example_run(objective=classes(composite=True, lowest_value=0.2), loss=flat(-5.0)),
        lambda: example_run(objective=classes(loss="custom"), loss=flat(-4.0)),
    ),
)
