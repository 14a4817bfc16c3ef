"""O209: the loss is summed over the batch, and the step grows with it."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.baseline import curve_scale
from babysit.analysis.learning import broken, is_underperforming
from babysit.analysis.model_structure import main_objective, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import diverging, example_run, falling, healthy, optimizer, regression
from babysit.rules.rule import Limit, Limits, Rule

# These normalize the gradient, so the scale of the loss has no effect.
SCALE_FREE = {"Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "LBFGS", "Lion"}


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a summed loss with a scale-dependent optimizer and failed training."""
    objective = main_objective(run)
    kinds = {one.kind for one in model_summary_of(run).optimizers}
    if objective is None or objective.reduction != "sum" or not kinds or kinds <= SCALE_FREE:
        return
    terms = curve_scale(objective)
    if terms >= limits["terms"] and (broken(run) or is_underperforming(run)):
        yield Evidence(
            first_step=0,
            severity=Severity.ERROR if broken(run) else Severity.WARNING,
            numbers={"terms": terms, "loss": objective.loss},
            message=f"The loss sums {terms:.0f} values instead of averaging them, so each update is {terms:.0f} "
            "times as large as with a mean, and depends on the batch size.",
        )


RULE = Rule(
    code="O209",
    name="summed-loss",
    severity=Severity.WARNING,
    what="The loss is summed over the batch, and the updates of SGD explode.",
    why="A sum multiplies the gradient by the number of values, so the suitable learning rate depends on the "
    "batch size.",
    recommendation="Average the loss (reduction='mean'), or divide the learning rate by the number of values.",
    find=find,
    needs=("model_summary", "curves"),
    limits={"terms": Limit(8, "below eight values the updates are off by less than an order of magnitude")},
    causes=(*NOT_LEARNING, *BLOWING_UP, *LOST_UNITS, "O207", "U601"),
    fixes=(
        Fix(
            action="mean_reduction",
            say="Average the loss.",
            code="loss = torch.nn.functional.mse_loss(output, target, reduction='mean')",
        ),
    ),
    false_positives=("Adam and similar optimizers do not depend on the scale of the loss and are not checked.",),
    sources=(
        "The step of gradient descent is the learning rate times the gradient; a sum of n terms has n times the "
        "gradient.",
    ),
    fires_on=(
        lambda: example_run(
            objective=regression(reduction="sum"), loss=diverging(64.0), facts={"optimizers": (optimizer("SGD"),)}
        ),
    ),
    silent_on=(healthy, lambda: example_run(objective=regression(reduction="sum"), loss=falling(70.0, 3.0))),
)
