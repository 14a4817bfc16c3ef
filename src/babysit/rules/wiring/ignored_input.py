"""W710: the output does not depend on some input."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import model_summary_of
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the input-dependence experiment, else which input tensors the losses depend on."""
    experiment = run.experiment("input-dependence")
    if experiment is not None and experiment.outcome in (Outcome.WARN, Outcome.FAIL):
        numbers: dict[str, float | int | str | bool] = dict(experiment.measured)
        severity = Severity.WARNING if experiment.outcome is Outcome.FAIL else Severity.INFO
        yield Evidence(first_step=0, severity=severity, numbers=numbers, message=experiment.message)
        return
    unused = model_summary_of(run).unused_inputs
    if unused:
        yield Evidence(
            first_step=0,
            severity=Severity.WARNING if is_underperforming(run, below=limits["learned"]) else Severity.INFO,
            numbers={"inputs": len(unused)},
            message=f"No loss depends on {', '.join(unused)}, although the model is called with it.",
            confidence=0.9,
        )


RULE = Rule(
    code="W710",
    name="ignored-input",
    severity=Severity.WARNING,
    what="The output does not depend on some input.",
    why="An unused input cannot improve the prediction; often a column or channel is lost by slicing.",
    recommendation="Trace that input through forward.",
    find=find,
    limits={"learned": Limit(0.8, "a task that is learned without that input does not need it")},
    causes=("A406", "F902", "F905", "O210", "W709"),
    fixes=(Fix(action="change_code", say="Use every input that matters."),),
    false_positives=("Constant inputs, and masks.",),
    sources=("torchtest2: input dependency per feature.",),
    fires_on=(
        lambda: example_run(loss=flat(2.2), facts={"unused_inputs": ("Net input 2",)}),
        lambda: example_run(
            experiments=(
                ExperimentResult(
                    name="input-dependence", outcome=Outcome.FAIL, message="The output ignores 3 of 20 inputs."
                ),
            )
        ),
    ),
    silent_on=(healthy,),
)
