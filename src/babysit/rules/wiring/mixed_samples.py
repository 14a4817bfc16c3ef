"""W707: samples of a batch leak into each other."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.probe import Outcome, ProbeResult
from babysit.records.run import Run
from babysit.rules.examples import classes, example_run, healthy
from babysit.rules.rule import Limits, Rule
from babysit.rules.symptoms import NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the sample-isolation probe."""
    probe = run.probe("sample-isolation")
    if probe is not None and probe.outcome is Outcome.FAIL:
        yield Evidence(first_step=0, numbers=dict(probe.measured), meaning=probe.message)


RULE = Rule(
    code="W707",
    name="mixed-samples",
    severity=Severity.ERROR,
    what="Samples of a batch leak into each other: a wrong view, permute or reduction axis.",
    why="The answer for one sample depends on its neighbours in the batch, so it cannot be learned or repeated.",
    advice="Use permute or transpose to move axes (never view), and reduce over dim=1 or later.",
    find=find,
    needs=("probes",),
    leads_to=(*NOT_LEARNING, "F901"),
    treatments=(
        Treatment(action="change_code", say="Move axes by name.", code="x = x.transpose(1, 2)  # not x.view(...)"),
    ),
    false_positives=("Batch normalization and contrastive losses mix samples by design.",),
    sources=("A gradient of one sample's output with respect to another's input must be zero.",),
    fires_on=(
        lambda: example_run(
            objective=classes(),
            probes=(
                ProbeResult(
                    name="sample-isolation",
                    outcome=Outcome.FAIL,
                    message="Output 0 depends on input 1.",
                    measured={"leak": 1.0},
                ),
            ),
        ),
    ),
    silent_on=(healthy,),
)
