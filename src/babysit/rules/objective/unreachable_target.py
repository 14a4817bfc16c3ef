"""O203: targets lie outside the range of the output activation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from babysit.analysis.learning import explained_share, is_underperforming
from babysit.analysis.model_structure import DISTANCE_LOSSES, last_operation, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective, TargetKind
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, NOT_LEARNING
from babysit.rules.examples import classes, example_run, flat, healthy, healthy_regression, regression
from babysit.rules.rule import Limit, Limits, Rule

RANGE = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exp": (0.0, math.inf),
    "log_softmax": (-math.inf, 0.0),
    "logsigmoid": (-math.inf, 0.0),
}


def _reach(objective: Objective) -> tuple[str, float, float] | None:
    last = last_operation(objective)
    if objective.loss in DISTANCE_LOSSES and last is not None and last.name in RANGE:
        return last.name, *RANGE[last.name]
    return None


def _span(low: float, high: float) -> str:
    if math.isinf(high):
        return f"is never below {low:g}"
    return f"is never above {high:g}" if math.isinf(low) else f"ranges from {low:g} to {high:g}"


def _several_at_once(objective: Objective, least: float) -> float:
    """Return the mean number of ones per target row if a softmax should predict more than one; else 0."""
    last = last_operation(objective)
    several = objective.target.mean * objective.outputs
    multiple = objective.target_kind is TargetKind.ZERO_ONE and objective.outputs > 1 and several > least
    inside = objective.loss == "cross_entropy"
    softmax = inside or (last is not None and last.name == "softmax")
    return several if multiple and softmax else 0.0


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the range of the output activation with the range of the targets."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        several = _several_at_once(objective, limits["answers"])
        if several:
            yield Evidence(
                first_step=0,
                severity=Severity.ERROR if is_underperforming(run) else Severity.INFO,
                numbers={"objective": number, "ones_per_row": several},
                message=f"The rows of the target have {several:.3g} ones on average, but the {objective.outputs} "
                "outputs of a softmax sum to 1: no row can be predicted correctly.",
                recommendation="Use a sigmoid for each output (binary_cross_entropy_with_logits).",
            )
            continue
        reach, target = _reach(objective), objective.target
        if reach is None or not target.shape:
            continue
        name, low, high = reach
        # Relative to the standard deviation of the target: a few values slightly outside do no harm.
        std = math.sqrt(max(target.variance, 0.0)) or abs(target.mean) or 1.0
        outside = max(low - target.low, target.high - high) / std
        if not outside > limits["outside"]:
            continue
        learned = (explained_share(run) or 0.0) > limits["learned"]
        yield Evidence(
            first_step=0,
            severity=Severity.INFO if learned else Severity.ERROR,
            numbers={"objective": number, "target_low": target.low, "target_high": target.high, "outside": outside},
            message=f"The output activation is {name}, which {_span(low, high)}; the targets range from "
            f"{target.low:.3g} to {target.high:.3g}. Targets outside its range can never be predicted.",
        )


RULE = Rule(
    code="O203",
    name="unreachable-target",
    severity=Severity.ERROR,
    what="Targets lie outside the range that the output activation can reach.",
    why="The output saturates at the limit of its range: the loss stays high and the gradients vanish.",
    recommendation="For continuous targets, end the network with a linear layer (no activation) and standardize "
    "the targets.",
    find=find,
    needs=("model_summary",),
    limits={
        "outside": Limit(
            0.25, "a quarter of the standard deviation of the target; less than that affects under 1 % of the variance"
        ),
        "answers": Limit(1.2, "20 % more than the single 1 that a softmax can give"),
        "learned": Limit(0.9, "90 % of the baseline loss removed: few values are outside"),
    },
    causes=(*NOT_LEARNING, *BLOWING_UP, "A401", "A402", "D105", "O207", "O208", "O211", "U602", "U603", "F910"),
    fixes=(
        Fix(
            action="remove_output_activation",
            say="End with a linear layer.",
            code="model = nn.Sequential(*layers, nn.Linear(hidden, 1))",
        ),
        Fix(
            action="standardize_target",
            say="Or scale the targets to the range of the output.",
            code="y = (y - y_train.mean()) / y_train.std()",
        ),
    ),
    false_positives=("Outliers that are intentionally clipped to the range.",),
    sources=("Definitions of the activations.",),
    fires_on=(
        lambda: example_run(objective=regression("sigmoid"), loss=flat(0.9)),
        lambda: example_run(objective=regression("relu"), loss=flat(0.6)),
    ),
    silent_on=(healthy, healthy_regression, lambda: example_run(objective=classes("sigmoid"))),
)
