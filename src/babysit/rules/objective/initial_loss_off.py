"""O207: the first loss is far from what an untrained network should give."""

from __future__ import annotations

import math
from collections.abc import Iterator

from babysit.analysis.learning import poor
from babysit.analysis.loss_curve import levels, values_of
from babysit.analysis.model_structure import BINARY_LOSSES, CLASS_LOSSES, adversarial, main_objective
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.probe import Outcome, ProbeResult
from babysit.records.run import Run
from babysit.rules.examples import example_run, falling, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.symptoms import BLOWING_UP


def expected_first_loss(run: Run) -> float | None:
    """What an untrained network gives, in nats: ln C for C classes, ln 2 for yes or no; None for other losses."""
    objective = main_objective(run)
    if objective is None or objective.reduction != "mean" or objective.class_weights:
        return None
    if objective.loss in CLASS_LOSSES and objective.outputs > 1:
        return math.log(objective.outputs)
    return math.log(2) if objective.loss in BINARY_LOSSES else None


def _from_probe(run: Run) -> Iterator[Evidence]:
    probe = run.probe("initial-loss")
    if probe is not None and probe.outcome is Outcome.FAIL:
        numbers = {f"measured_{name}": value for name, value in probe.measured.items()}
        numbers |= {f"expected_{name}": value for name, value in probe.expected.items()}
        yield Evidence(first_step=0, numbers=dict(numbers), meaning=probe.message)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares the first loss of the run (or the probe's) with the loss of an even guess."""
    told = list(_from_probe(run))
    yield from told
    expected, level = expected_first_loss(run), levels(run)
    _, values = values_of(run.curves.get("loss/train"))
    if told or expected is None or level is None or not len(values) or adversarial(run):
        return
    first = float(values[0])
    ratio = first / expected
    if 0 < ratio < limits["above"]:
        return
    grave = ratio >= limits["far_above"] or (poor(run) and ratio >= limits["harm_above"])
    yield Evidence(
        first_step=0,
        severity=Severity.WARNING if grave else Severity.INFO,
        numbers={"first_loss": first, "expected_loss": expected, "ratio": ratio},
        meaning=f"The first loss is {first:.3g}; an untrained network that guesses evenly gives {expected:.3g}. "
        "The first steps are spent on taking back confident wrong answers.",
        confidence=0.8,
    )


RULE = Rule(
    code="O207",
    name="initial-loss-off",
    severity=Severity.WARNING,
    what="The loss at the first step is far from what an untrained network should give (ln C for C classes).",
    why="Before training all answers should be equally likely. A higher loss means outputs of the wrong scale, a wrong "
    "loss, or wrong labels.",
    advice="Scale the inputs, use the default initialization, and give raw logits to the loss.",
    find=find,
    limits={
        "above": Limit(2.0, "twice the even guess; random logits of unit scale stay within 1.3 times for 10 classes"),
        "harm_above": Limit(3.0, "three times: asked for together with poor results"),
        "far_above": Limit(10.0, "ten times the even guess is an alarm by itself; raw pixels give 5 to 20"),
    },
    leads_to=(*BLOWING_UP, "F904"),
    treatments=(
        Treatment(
            action="initialize",
            target="output",
            say="Start with small outputs.",
            code="nn.init.normal_(last.weight, std=0.01); nn.init.zeros_(last.bias)",
        ),
    ),
    false_positives=(
        "Pretrained networks start low: a low first loss is never reported.",
        "A penalty added to the loss raises it.",
    ),
    sources=("CS231n lecture 6: 'check that the loss is reasonable', ln 10 = 2.303 for 10 classes.",),
    fires_on=(
        lambda: example_run(loss=falling(60.0, 0.3)),
        lambda: example_run(probes=(ProbeResult(name="initial-loss", outcome=Outcome.FAIL, measured={"loss": 9.0}),)),
    ),
    silent_on=(healthy, lambda: example_run(loss=falling(0.3, 0.05))),
)
