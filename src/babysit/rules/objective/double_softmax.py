"""O201: probabilities are passed to a loss that expects logits, or the reverse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import levels
from babysit.analysis.model_structure import (
    CLASS_LOSSES,
    NORMALIZING,
    drop_shape_ops,
    last_operation,
    manual_updates,
    model_summary_of,
)
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.losses import Wants, loss_input
from babysit.records.model_summary import Objective, Op, ValueSummary
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, NOT_LEARNING
from babysit.rules.examples import BATCH, binary, classes, example_run, falling, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule

# The results of these operations are positive, so their logarithm is defined.
POSITIVE = {"softmax", "sigmoid", "softplus", "exp", "abs", "relu", "square", "div", "add", "pow"}
# The results of these are negative, also after adding a small constant.
LOGARITHMS = {"log_softmax", "logsigmoid", "log"}


def _expected(objective: Objective) -> tuple[Wants | None, str]:
    """Return the input that the loss expects, and the function it applies to it; (None, "") for a custom loss."""
    known = loss_input(objective.loss, log_input=objective.log_input)
    return (known.wants, known.inside) if known is not None else (None, "")


def _twice(objective: Objective) -> str:
    """Describe a function that is applied twice: by the network and the loss, or by the network alone."""
    last = last_operation(objective)
    wants, inside = _expected(objective)
    # log_softmax before cross_entropy is harmless: log-softmax is idempotent.
    if last is not None and wants is Wants.SCORES and last.name in {"softmax", "sigmoid"}:
        return f"{last.name}, and {objective.loss} applies {inside} again"
    if last is not None and wants is Wants.LOG_RATES and last.name == inside:
        return f"{last.name}, and {objective.loss} applies {inside} again (log_input is True)"
    names = [operation.name for operation in drop_shape_ops(objective.output_ops)]
    for before, after in pairwise(names):
        if before in {"softmax", "sigmoid"} and after in NORMALIZING:
            return f"{before} and then {after}"
    return ""


def _starts_or_ends_too_low(run: Run, objective: Objective) -> bool:
    """Check whether the loss is far below that of log-probabilities: without a logarithm it starts near 0 or below.

    A hand-written likelihood may take the logarithm later than what was traced; its loss starts near ln C. Other
    losses are identified by the function that was called.
    """
    level = levels(run)
    by_function = objective.loss != "nll_loss"
    return by_function or level is None or level.end < 0 or level.start < 0.3 * math.log(max(objective.outputs, 2))


def _wants_logarithms(objective: Objective, above: float) -> str:
    wants, _ = _expected(objective)
    if wants is not Wants.LOGARITHMS or objective.prediction.high <= above:
        return ""
    last = last_operation(objective)
    if last is not None and last.name in {"log_softmax", "logsigmoid", "log"}:
        return ""
    given = "probabilities" if last is not None and last.name in {"softmax", "sigmoid"} else "raw outputs"
    return f"{given} up to {objective.prediction.high:.3g}, and {objective.loss} expects {wants} (at most 0)"


def _outside(objective: Objective, margin: float) -> str:
    """Describe outputs that are not probabilities, or not rates, although the loss expects them."""
    low, high = objective.prediction.low, objective.prediction.high
    wants, _ = _expected(objective)
    limits = {Wants.PROBABILITIES: (0.0, 1.0, "0 to 1"), Wants.RATES: (0.0, math.inf, "at least 0")}
    if wants not in limits or manual_updates(objective):
        return ""
    least, most, word = limits[wants]
    if least - margin <= low <= high <= most + margin:
        return ""
    return f"raw outputs from {low:.3g} to {high:.3g}, and {objective.loss} expects {wants}, {word}"


def _recommendation(objective: Objective) -> str:
    """Return the recommendation for the loss."""
    wants, _ = _expected(objective)
    if wants is Wants.LOGARITHMS and objective.loss != "nll_loss":
        return f"Pass log-probabilities to {objective.loss}: apply `log_softmax` over the classes once."
    if wants in (Wants.RATES, Wants.LOG_RATES):
        return f"Pass the raw outputs of the last layer to {objective.loss} with log_input=True."
    keep = "binary_cross_entropy_with_logits" if "binary" in objective.loss else "cross_entropy"
    keep = objective.loss if wants is Wants.SCORES else keep
    return f"Pass the raw outputs of the last layer (logits) to {keep}; apply softmax or sigmoid only at inference."


def _logarithm_of_logits(objective: Objective, run: Run) -> str:
    output_ops: tuple[Op, ...] = drop_shape_ops(objective.output_ops)
    names = [operation.name.rstrip("_") for operation in output_ops]
    level = levels(run)
    if "log" not in names or level is None or level.broken_at is None:
        return ""
    before = names[: len(names) - 1 - names[::-1].index("log")]
    if LOGARITHMS & set(before[-2:]):
        return "the logarithm of values that are already logarithms; that of a negative number is NaN"
    return "" if POSITIVE & set(before) else "raw outputs whose logarithm is taken; that of a negative number is NaN"


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the operations between the last layer and each loss."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        seen = (
            _twice(objective)
            or (_starts_or_ends_too_low(run, objective) and _wants_logarithms(objective, limits["log_probability"]))
            or _outside(objective, limits["log_probability"])
            or _logarithm_of_logits(objective, run)
        )
        if not seen:
            continue
        hurt = is_underperforming(run)
        yield Evidence(
            numbers={
                "objective": number,
                "loss": objective.loss,
                "output_ops": " > ".join(operation.name for operation in objective.output_ops) or "nothing",
                "prediction_low": objective.prediction.low,
                "prediction_high": objective.prediction.high,
            },
            message=f"The loss gets {seen}. Gradients are damped or wrong, and the loss has a wrong minimum.",
            recommendation=_recommendation(objective),
            first_step=0,
            confidence=1.0 if hurt else 0.9,
            severity=Severity.ERROR if hurt or objective.loss in CLASS_LOSSES else Severity.WARNING,
        )


RULE = Rule(
    code="O201",
    name="double-softmax",
    early=True,
    severity=Severity.ERROR,
    what="Probabilities are passed to a loss that applies softmax or sigmoid again, or logits to one that does not.",
    why="A second softmax limits the outputs to [1/(C-1+e), e/(C-1+e)]: gradients shrink and the loss cannot "
    "approach 0.",
    recommendation="Pass the raw outputs of the last layer to cross_entropy or binary_cross_entropy_with_logits.",
    find=find,
    needs=("model_summary",),
    limits={"log_probability": Limit(1e-4, "log-probabilities are at most 0, up to rounding")},
    causes=(*NOT_LEARNING, *BLOWING_UP, "G501", "O207", "O208", "U602", "U603"),
    fixes=(
        Fix(
            action="remove_output_activation",
            say="Remove the softmax at the end of the network and keep cross-entropy.",
            code="logits = last_layer(hidden)\nloss = torch.nn.functional.cross_entropy(logits, labels)",
        ),
    ),
    false_positives=(
        "A softmax inside the network (attention, gates) is not reported: only the last operations count.",
    ),
    sources=(
        "torch.nn.CrossEntropyLoss: 'the input is expected to contain the unnormalized logits'.",
        "Among 273 documented training faults, a mismatch of output and loss is the most frequent kind.",
    ),
    fires_on=(
        lambda: example_run(objective=classes("softmax"), loss=falling(2.3, 1.9)),
        lambda: example_run(objective=classes(loss="nll_loss"), loss=flat(-40.0)),
        lambda: example_run(objective=classes("sigmoid", "log_softmax", loss="nll_loss"), loss=falling(2.3, 1.8)),
        lambda: example_run(objective=classes("log_softmax", "add", "log", loss="nll_loss"), loss=np.full(400, np.nan)),
        lambda: example_run(objective=classes(loss="ctc_loss"), loss=flat(-3.0)),
        lambda: example_run(objective=classes("exp", loss="poisson_nll_loss", log_input=True), loss=flat(1.0)),
        lambda: example_run(objective=classes(loss="poisson_nll_loss", log_input=False), loss=flat(1.0)),
        lambda: example_run(
            objective=binary(loss="binary_cross_entropy", prediction=ValueSummary(shape=(BATCH, 1), low=-2.0, high=3.0))
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(objective=classes("log_softmax", loss="nll_loss")),
        lambda: example_run(objective=classes("softmax", "add", "log", loss="nll_loss"), loss=np.full(400, np.nan)),
        lambda: example_run(objective=classes("softmax", "matmul")),
        lambda: example_run(objective=classes("log_softmax", loss="ctc_loss"), loss=flat(1.0)),
        lambda: example_run(objective=classes(loss="poisson_nll_loss"), loss=flat(-1.0)),
    ),
)
