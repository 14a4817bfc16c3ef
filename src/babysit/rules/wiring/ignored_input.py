"""W710: the output does not react to some input."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import poor
from babysit.analysis.model_structure import anatomy_of
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.probe import Outcome, ProbeResult
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the input-dependence probe, else which of the model's tensors the losses depend on."""
    probe = run.probe("input-dependence")
    if probe is not None and probe.outcome in (Outcome.WARN, Outcome.FAIL):
        numbers: dict[str, float | int | str | bool] = dict(probe.measured)
        severity = Severity.WARNING if probe.outcome is Outcome.FAIL else Severity.INFO
        yield Evidence(first_step=0, severity=severity, numbers=numbers, meaning=probe.message)
        return
    unused = anatomy_of(run).unused_inputs
    if unused:
        yield Evidence(
            first_step=0,
            severity=Severity.WARNING if poor(run, below=limits["learned"]) else Severity.INFO,
            numbers={"inputs": len(unused)},
            meaning=f"{', '.join(unused)}: the model is called with it and no loss depends on it.",
            confidence=0.9,
        )


RULE = Rule(
    code="W710",
    name="ignored-input",
    severity=Severity.WARNING,
    what="The output does not react to some input.",
    why="What is not used cannot help, and is often a column or channel lost by slicing.",
    advice="Follow that input through forward.",
    find=find,
    limits={"learned": Limit(0.8, "a task that is learned without that input did not need it")},
    leads_to=("A406", "F902", "F905", "O210", "W709"),
    treatments=(Treatment(action="change_code", say="Use every input that matters."),),
    false_positives=("Constant inputs, and masks.",),
    sources=("torchtest2: input dependency per feature.",),
    fires_on=(
        lambda: example_run(loss=flat(2.2), facts={"unused_inputs": ("Net input 2",)}),
        lambda: example_run(
            probes=(
                ProbeResult(
                    name="input-dependence", outcome=Outcome.FAIL, message="The output ignores 3 of 20 inputs."
                ),
            )
        ),
    ),
    silent_on=(healthy,),
)
