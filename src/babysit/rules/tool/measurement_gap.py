"""T001: something could not be measured or judged."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.finding import Evidence, Severity
from babysit.records.model_summary import ModelSummary
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy
from babysit.rules.rule import Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """A compiled network without layer metrics, and every gap that the measuring itself wrote down."""
    if (
        run.model_summary is not None
        and run.model_summary.compiled
        and not len(run.layer_metrics.steps)
        and run.events.steps > 0
    ):
        yield Evidence(
            message="The network is compiled, so hooks on its layers stayed silent and no layer metrics were taken.",
            recommendation="Start watching before torch.compile, or watch the uncompiled module for a short run.",
        )
    for event in run.events.of("measurement_gap"):
        yield Evidence(first_step=event.step, message=event.detail)


RULE = Rule(
    code="T001",
    name="measurement-gap",
    severity=Severity.INFO,
    what="Something could not be measured, or a rule or statistic failed.",
    why="What was not measured cannot be judged: silence about it does not mean health.",
    recommendation="Read the rest as usual; please report it if it is a failure of babysit itself.",
    find=find,
    sources=("The tool must say what it did not see rather than show an empty chart.",),
    fires_on=(lambda: example_run(model_summary=ModelSummary(compiled=True), layer_metrics={}, vital_layers=()),),
    silent_on=(healthy,),
)
