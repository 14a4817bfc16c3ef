"""D103: NaN or infinity among inputs or targets."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.model_structure import model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import ValueSummary
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, NOT_LEARNING
from babysit.rules.examples import classes, example_run, healthy, profile
from babysit.rules.rule import Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Count non-finite values in the data profile and in the targets of each loss."""
    for split in run.data.splits if run.data else ():
        if split.nonfinite > 0:
            yield Evidence(
                first_step=0,
                numbers={"split": split.split, "nonfinite": split.nonfinite},
                message=f"{split.nonfinite:,} values of the {split.split} inputs are NaN or infinite.",
            )
    for number, objective in enumerate(model_summary_of(run).objectives):
        if objective.target.nonfinite > 0:
            yield Evidence(
                first_step=0,
                numbers={"objective": number, "nonfinite": objective.target.nonfinite},
                message=f"{objective.target.nonfinite:,} target values are NaN or infinite.",
            )


RULE = Rule(
    code="D103",
    name="nonfinite-input",
    early=True,
    severity=Severity.ERROR,
    what="NaN or infinite values in inputs or targets.",
    why="One NaN makes the loss NaN and, after the next step, every weight.",
    recommendation="Drop or impute these rows before training, and check for divisions by a zero standard deviation.",
    find=find,
    causes=(*NOT_LEARNING, *BLOWING_UP),
    fixes=(Fix(action="clean_data", say="Impute missing values.", code="x = torch.nan_to_num(x, nan=0.0)"),),
    false_positives=("Missing values that the network masks.",),
    sources=("IEEE 754: any sum with NaN is NaN.",),
    fires_on=(
        lambda: example_run(data=profile(nonfinite=3)),
        lambda: example_run(objective=classes(target=ValueSummary(shape=(64,), nonfinite=1))),
    ),
    silent_on=(healthy,),
)
