"""O207: the initial loss is far from that expected of an untrained network."""

from __future__ import annotations

import math
from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import levels, values_of
from babysit.analysis.model_structure import BINARY_LOSSES, CLASS_LOSSES, adversarial, main_objective
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP
from babysit.rules.examples import example_run, falling, healthy
from babysit.rules.rule import Limit, Limits, Rule


def expected_first_loss(run: Run) -> float | None:
    """Return the expected initial loss in nats: ln C for C classes, ln 2 if binary; None for other losses."""
    objective = main_objective(run)
    if objective is None or objective.reduction != "mean" or objective.class_weights:
        return None
    if objective.loss in CLASS_LOSSES and objective.outputs > 1:
        return math.log(objective.outputs)
    return math.log(2) if objective.loss in BINARY_LOSSES else None


def _from_experiment(run: Run) -> Iterator[Evidence]:
    experiment = run.experiment("initial-loss")
    if experiment is not None and experiment.outcome is Outcome.FAIL:
        numbers = {f"measured_{name}": value for name, value in experiment.measured.items()}
        numbers |= {f"expected_{name}": value for name, value in experiment.expected.items()}
        yield Evidence(first_step=0, numbers=dict(numbers), message=experiment.message)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the initial loss of the run (or of the experiment) with that of uniform predictions."""
    reported = list(_from_experiment(run))
    yield from reported
    expected, level = expected_first_loss(run), levels(run)
    _, values = values_of(run.curves.get("train/loss"))
    if reported or expected is None or level is None or not len(values) or adversarial(run):
        return
    objective = main_objective(run)
    if objective is None or (objective.composite and objective.first_value is None):
        return
    first = float(values[0]) if objective.first_value is None else objective.first_value
    ratio = first / expected
    if 0 < ratio < limits["above"]:
        return
    grave = ratio >= limits["far_above"] or (is_underperforming(run) and ratio >= limits["harm_above"])
    yield Evidence(
        first_step=0,
        severity=Severity.WARNING if grave else Severity.INFO,
        numbers={"first_loss": first, "expected_loss": expected, "ratio": ratio},
        message=f"The initial loss is {first:.3g}; uniform predictions give {expected:.3g}. The first steps only "
        "undo confident wrong predictions.",
        confidence=0.8,
    )


RULE = Rule(
    code="O207",
    name="unexpected-initial-loss",
    severity=Severity.WARNING,
    what="The initial loss is far from that expected of an untrained network (ln C for C classes).",
    why="Before training all classes should be equally likely. A higher loss means outputs of a wrong scale, a "
    "wrong loss, or wrong labels.",
    recommendation="Scale the inputs, use the default initialization, and pass raw logits to the loss.",
    find=find,
    limits={
        "above": Limit(
            2.0, "twice the loss of uniform predictions; random unit-scale logits give up to 1.3 times for 10 classes"
        ),
        "harm_above": Limit(3.0, "three times: required together with poor results"),
        "far_above": Limit(
            10.0, "ten times the loss of uniform predictions: a problem in any case; raw pixels give 5 to 20"
        ),
    },
    causes=(*BLOWING_UP, "F904"),
    fixes=(
        Fix(
            action="initialize",
            target="output",
            say="Start with small outputs.",
            code="nn.init.normal_(last.weight, std=0.01); nn.init.zeros_(last.bias)",
        ),
    ),
    false_positives=(
        "Pretrained networks start low: a low initial loss is never reported.",
        "A penalty raises the loss: the value without other terms is checked if it is known.",
    ),
    sources=("CS231n lecture 6: 'check that the loss is reasonable', ln 10 = 2.303 for 10 classes.",),
    fires_on=(
        lambda: example_run(loss=falling(60.0, 0.3)),
        lambda: example_run(
            experiments=(ExperimentResult(name="initial-loss", outcome=Outcome.FAIL, measured={"loss": 9.0}),)
        ),
    ),
    silent_on=(healthy, lambda: example_run(loss=falling(0.3, 0.05))),
)
