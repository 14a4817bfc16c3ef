"""N806: dropout on the output, or so strong that little passes."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Objective, Op
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import classes, example_run, falling, healthy
from babysit.rules.rule import Limit, Limits, Rule

DROPOUTS = {"dropout", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d"}


def _dropped(objective: Objective) -> Op | None:
    return next((step for step in objective.output_ops if step.name.rstrip("_") in DROPOUTS and step.value != 0), None)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Looks for dropout between the last layer and a loss, then for extreme learning rates between layers."""
    extreme = [one for one in model_summary_of(run).layers if one.dropout >= limits["extreme"] and not one.is_output]
    if extreme and is_underperforming(run, below=limits["learned"]):
        worst = max(layer.dropout for layer in extreme)
        yield Evidence(
            layers=tuple(layer.name for layer in extreme),
            first_step=0,
            confidence=0.9,
            numbers={"lr": worst, "layers": len(extreme)},
            message=f"Dropout of {worst:g} after {', '.join(layer.name for layer in extreme[:4])}: in training only "
            f"{100 * (1 - worst):.0f} units of 100 pass anything on. (In Keras of old the number said what is kept.)",
        )
    for number, objective in enumerate(model_summary_of(run).objectives):
        step = _dropped(objective)
        if step is None:
            continue
        lr = step.value
        strong = lr is not None and lr >= limits["lr"]
        yield Evidence(
            first_step=0,
            severity=Severity.WARNING if strong or is_underperforming(run) else Severity.INFO,
            numbers={"objective": number, "lr": -1.0 if lr is None else lr},
            message=f"Dropout{'' if lr is None else f' of {lr:g}'} acts on the outputs themselves: in training the "
            "right answer is often replaced by 0 before the loss sees it.",
        )


RULE = Rule(
    code="N806",
    name="dropout-misplaced",
    severity=Severity.WARNING,
    what="Dropout on the output, before batch norm, or with an extreme learning rate.",
    why="Dropped logits are wrong answers made on purpose; the loss can never come near 0.",
    recommendation="Keep dropout between hidden layers, at 0.1 to 0.5.",
    find=find,
    needs=("model_summary",),
    limits={
        "extreme": Limit(0.75, "a quarter of the units is left; 0.5 is the most that Srivastava et al. advise"),
        "learned": Limit(0.8, "a network that learns the task all the same has units to spare"),
        "lr": Limit(0.3, "three outputs of ten are wiped out in every step"),
    },
    causes=(*NOT_LEARNING, "F908", "O211", "O207"),
    fixes=(
        Fix(
            action="move_dropout",
            say="Drop hidden units, not answers.",
            code="nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.3), nn.Linear(b, classes))",
        ),
    ),
    false_positives=("A light dropout on a learned embedding that is the output: INFO while it learns.",),
    sources=("Srivastava et al. 2014: dropout of input and hidden units.",),
    fires_on=(
        lambda: example_run(objective=classes(output_ops=(Op(name="dropout", value=0.5),)), loss=falling(2.4, 1.5)),
    ),
    silent_on=(healthy,),
)
