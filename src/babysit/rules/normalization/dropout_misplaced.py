"""N806: dropout on the output, or so strong that little passes."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.anatomy import Objective, Operation
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import classes, example_run, falling, healthy
from babysit.rules.progress import poor
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.structure import anatomy_of
from babysit.rules.symptoms import NOT_LEARNING

DROPOUTS = {"dropout", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d"}


def _dropped(objective: Objective) -> Operation | None:
    return next((step for step in objective.chain if step.name.rstrip("_") in DROPOUTS and step.value != 0), None)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Looks for dropout between the last layer and a loss."""
    for number, objective in enumerate(anatomy_of(run).objectives):
        step = _dropped(objective)
        if step is None:
            continue
        rate = step.value
        strong = rate is not None and rate >= limits["rate"]
        yield Evidence(
            first_step=0,
            severity=Severity.WARNING if strong or poor(run) else Severity.INFO,
            numbers={"objective": number, "rate": -1.0 if rate is None else rate},
            meaning=f"Dropout{'' if rate is None else f' of {rate:g}'} acts on the outputs themselves: in training the "
            "right answer is often replaced by 0 before the loss sees it.",
        )


RULE = Rule(
    code="N806",
    name="dropout-misplaced",
    severity=Severity.WARNING,
    what="Dropout on the output, before batch norm, or with an extreme rate.",
    why="Dropped logits are wrong answers made on purpose; the loss can never come near 0.",
    advice="Keep dropout between hidden layers, at 0.1 to 0.5.",
    find=find,
    needs=("anatomy",),
    limits={"rate": Limit(0.3, "three outputs of ten are wiped out in every step")},
    leads_to=(*NOT_LEARNING, "F908", "O211", "O207"),
    treatments=(
        Treatment(
            action="move_dropout",
            say="Drop hidden units, not answers.",
            code="nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.3), nn.Linear(b, classes))",
        ),
    ),
    false_positives=("A light dropout on a learned embedding that is the output: INFO while it learns.",),
    sources=("Srivastava et al. 2014: dropout of input and hidden units.",),
    fires_on=(
        lambda: example_run(objective=classes(chain=(Operation(name="dropout", value=0.5),)), loss=falling(2.4, 1.5)),
    ),
    silent_on=(healthy,),
)
