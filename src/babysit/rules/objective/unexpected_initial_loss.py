"""O207: the first loss is far from what an untrained network should give."""

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
    """What an untrained network gives, in nats: ln C for C classes, ln 2 for yes or no; None for other losses."""
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
    """Compares the first loss of the run (or the experiment's) with the loss of an even guess."""
    told = list(_from_experiment(run))
    yield from told
    expected, level = expected_first_loss(run), levels(run)
    _, values = values_of(run.curves.get("train/loss"))
    if told or expected is None or level is None or not len(values) or adversarial(run):
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
        message=f"The first loss is {first:.3g}; an untrained network that guesses evenly gives {expected:.3g}. "
        "The first steps are spent on taking back confident wrong answers.",
        confidence=0.8,
    )


RULE = Rule(
    code="O207",
    name="unexpected-initial-loss",
    severity=Severity.WARNING,
    what="The loss at the first step is far from what an untrained network should give (ln C for C classes).",
    why="Before training all answers should be equally likely. A higher loss means outputs of the wrong scale, a wrong "
    "loss, or wrong labels.",
    recommendation="Scale the inputs, use the default initialization, and give raw logits to the loss.",
    find=find,
    limits={
        "above": Limit(2.0, "twice the even guess; random logits of unit scale stay within 1.3 times for 10 classes"),
        "harm_above": Limit(3.0, "three times: asked for together with poor results"),
        "far_above": Limit(10.0, "ten times the even guess is an alarm by itself; raw pixels give 5 to 20"),
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
        "Pretrained networks start low: a low first loss is never reported.",
        "A penalty added to the loss raises it: where the loss's own value is known, that is judged.",
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
