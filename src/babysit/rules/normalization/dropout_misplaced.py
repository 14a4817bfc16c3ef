"""N806: dropout on the output, or with an extreme probability."""

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
    return next(
        (dropout for dropout in objective.output_ops if dropout.name.rstrip("_") in DROPOUTS and dropout.value != 0),
        None,
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for dropout with an extreme probability, and for dropout between the last layer and a loss."""
    extreme = [one for one in model_summary_of(run).layers if one.dropout >= limits["extreme"] and not one.is_output]
    if extreme and is_underperforming(run, below=limits["learned"]):
        worst = max(layer.dropout for layer in extreme)
        yield Evidence(
            layers=tuple(layer.name for layer in extreme),
            first_step=0,
            confidence=0.9,
            numbers={"probability": worst, "layers": len(extreme)},
            message=f"Dropout with p = {worst:g} after {', '.join(layer.name for layer in extreme[:4])} keeps only "
            f"{100 * (1 - worst):.0f} % of the units in training. (In PyTorch, p is the probability of dropping a "
            "unit, not of keeping it.)",
        )
    for number, objective in enumerate(model_summary_of(run).objectives):
        dropout = _dropped(objective)
        if dropout is None:
            continue
        probability = dropout.value
        strong = probability is not None and probability >= limits["probability"]
        yield Evidence(
            first_step=0,
            severity=Severity.WARNING if strong or is_underperforming(run) else Severity.INFO,
            numbers={"objective": number, "probability": -1.0 if probability is None else probability},
            message=f"Dropout{'' if probability is None else f' with p = {probability:g}'} is applied to the "
            "outputs of the network: in training, logits are set to 0 at random before the loss.",
        )


RULE = Rule(
    code="N806",
    name="dropout-misplaced",
    severity=Severity.WARNING,
    what="Dropout is applied to the output, or with an extreme probability.",
    why="Dropped logits are random errors, so the loss cannot approach 0.",
    recommendation="Use dropout between hidden layers, with a probability of 0.1 to 0.5.",
    find=find,
    needs=("model_summary",),
    limits={
        "extreme": Limit(0.75, "a quarter of the units is left; Srivastava et al. advise at most 0.5"),
        "learned": Limit(0.8, "a network that learns the task anyway has enough units"),
        "probability": Limit(0.3, "three of ten outputs are set to 0 in every step"),
    },
    causes=(*NOT_LEARNING, "F908", "O211", "O207"),
    fixes=(
        Fix(
            action="move_dropout",
            say="Apply dropout to hidden units, not to outputs.",
            code="nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.3), nn.Linear(b, classes))",
        ),
    ),
    false_positives=("Weak dropout on an output that is a learned embedding: INFO if the training learns.",),
    sources=("Srivastava et al. 2014: dropout of input and hidden units.",),
    fires_on=(
        lambda: example_run(objective=classes(output_ops=(Op(name="dropout", value=0.5),)), loss=falling(2.4, 1.5)),
    ),
    silent_on=(healthy,),
)
