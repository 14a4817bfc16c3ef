"""D102: inputs far from zero mean."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.data.unscaled_input import fed, normalizes_first
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy, profile
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the mean of the inputs with their standard deviation; a problem only if far larger, with harm."""
    split = fed(run)
    if split is None or not split.std > 0 or normalizes_first(run):
        return
    shift = abs(split.mean) / split.std
    one_sign = split.low >= 0 or split.high <= 0
    if shift < limits["shift"] and not (one_sign and shift > 0):
        return
    grave = shift >= limits["far"] and is_underperforming(run)
    yield Evidence(
        first_step=0,
        severity=Severity.WARNING if grave else Severity.INFO,
        confidence=0.8,
        numbers={"mean": split.mean, "std": split.std, "shift": shift, "one_sign": one_sign},
        message=f"The inputs have mean {split.mean:.3g} and standard deviation {split.std:.3g}"
        + (", all of one sign" if one_sign else "")
        + ": the weight gradients of each unit of the first layer tend to share a sign, so gradient directions "
        "oscillate (zig-zag).",
    )


RULE = Rule(
    code="D102",
    name="uncentered-input",
    severity=Severity.INFO,
    what="All inputs have one sign, or their mean is far from zero.",
    why="Inputs of one sign give weight gradients of one sign, so the weights of a unit can only increase or "
    "decrease together.",
    recommendation="Subtract the mean of the training set.",
    find=find,
    needs=("model_summary", "data"),
    limits={
        "shift": Limit(1.0, "the mean is further from zero than one standard deviation"),
        "far": Limit(5.0, "five standard deviations: the constant part dominates the varying part"),
    },
    causes=("A403", *NOT_LEARNING, "A402", "I304", "I305", "A401"),
    fixes=(Fix(action="center_input", say="Subtract the training mean.", code="x = x - x_train.mean(0)"),),
    false_positives=("Pixels in 0..1 are learned well anyway: INFO.",),
    sources=("CS231n lecture 6: 'this is also why you want zero-mean data'.",),
    fires_on=(
        lambda: example_run(data=profile(low=0, high=1, mean=0.4, std=0.3)),
        lambda: example_run(loss=flat(2.3), data=profile(low=90, high=110, mean=100, std=3)),
    ),
    silent_on=(healthy,),
)
