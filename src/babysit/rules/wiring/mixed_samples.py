"""W707: information leaks between the samples of a batch."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import classes, example_run, healthy
from babysit.rules.rule import Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the sample-isolation experiment."""
    experiment = run.experiment("sample-isolation")
    if experiment is not None and experiment.outcome is Outcome.FAIL:
        yield Evidence(first_step=0, numbers=dict(experiment.measured), message=experiment.message)


RULE = Rule(
    code="W707",
    name="mixed-samples",
    severity=Severity.ERROR,
    what="Information leaks between the samples of a batch: a wrong view, permute or reduction axis.",
    why="The prediction for one sample depends on the others in the batch, so it cannot be learned or reproduced.",
    recommendation="Use permute or transpose to move axes (never view), and reduce over dim=1 or later.",
    find=find,
    needs=("experiments",),
    causes=(*NOT_LEARNING, "F901"),
    fixes=(
        Fix(action="change_code", say="Swap axes with transpose.", code="x = x.transpose(1, 2)  # not x.view(...)"),
    ),
    false_positives=("Batch normalization and contrastive losses mix samples by design.",),
    sources=("A gradient of one sample's output with respect to another's input must be zero.",),
    fires_on=(
        lambda: example_run(
            objective=classes(),
            experiments=(
                ExperimentResult(
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
