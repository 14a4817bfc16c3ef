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

# These divide by the size of the gradient, so a larger loss changes nothing.
SCALE_FREE = {"Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "LBFGS", "Lion"}


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Fires when a summed loss meets a plain gradient step and training failed."""
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
            message=f"The loss adds up {terms:.0f} values instead of averaging them, so each step is {terms:.0f} "
            "times as long as the learning rate says, and changes with the batch size.",
        )


RULE = Rule(
    code="O209",
    name="summed-loss",
    severity=Severity.WARNING,
    what="The loss is summed over the batch, and plain gradient steps explode with it.",
    why="A sum multiplies the gradient by the number of values: the learning rate means something "
    "else every batch size.",
    recommendation="Average the loss (reduction='mean'), or divide the learning rate by the number of values.",
    find=find,
    needs=("model_summary", "curves"),
    limits={"terms": Limit(8, "below eight values the step is less than one order of magnitude off")},
    causes=(*NOT_LEARNING, *BLOWING_UP, *LOST_UNITS, "O207", "U601"),
    fixes=(
        Fix(
            action="mean_reduction",
            say="Average the loss.",
            code="loss = torch.nn.functional.mse_loss(output, target, reduction='mean')",
        ),
    ),
    false_positives=("Adam and its kin do not mind the scale of the loss and are not judged.",),
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
