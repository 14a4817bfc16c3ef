"""T001: something could not be measured or checked."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.finding import Evidence, Severity
from babysit.records.model_summary import ModelSummary
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Report a compiled network without layer metrics, and every recorded failure of a measurement."""
    if (
        run.model_summary is not None
        and run.model_summary.compiled
        and not len(run.layer_metrics.steps)
        and run.events.steps > 0
    ):
        yield Evidence(
            message="The network is compiled, so its module hooks did not run and no layer metrics were measured.",
            recommendation="Start monitoring before torch.compile, or monitor the uncompiled module in a short run.",
        )
    for event in run.events.of("measurement_gap"):
        yield Evidence(first_step=event.step, message=event.detail)


RULE = Rule(
    code="T001",
    name="measurement-gap",
    severity=Severity.INFO,
    what="Something could not be measured, or a rule or statistic failed.",
    why="Quantities that were not measured cannot be checked: no finding does not mean no problem.",
    recommendation="The other findings are valid; please report failures of babysit.",
    find=find,
    sources=("Missing measurements must be visible to the user.",),
    fires_on=(lambda: example_run(model_summary=ModelSummary(compiled=True), layer_metrics={}, vital_layers=()),),
    silent_on=(healthy,),
)
