"""O213: the objective is optimized in the wrong direction."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from babysit.analysis.loss_curve import blocks, levels, values_of
from babysit.analysis.model_structure import (
    BOUNDED_LOSSES,
    adversarial,
    main_objective,
    model_summary_of,
    only_data_term,
)
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import ModelSummary, Term
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import diverging, example_run, falling, healthy, optimizer, regression
from babysit.rules.rule import Limit, Limits, Rule


def _driven_down(model_summary: ModelSummary, limits: Limits) -> Iterator[Evidence]:
    """Look for a negative penalty that decreases without bound while the data loss does not: its sign is wrong."""
    data = sum(abs(term.first) for term in model_summary.terms if term.kind == "data")
    for term in model_summary.terms:
        deep = term.last < -limits["times"] * max(abs(term.first), data)
        if term.kind != "data" and data and deep:
            yield Evidence(
                first_step=0,
                numbers={"first": term.first, "last": term.last, "data_loss": data},
                message=f"A term of the loss that does not depend on the targets went from {term.first:.3g} to "
                f"{term.last:.3g} and has no lower bound: its sign is probably wrong.",
                confidence=0.9,
            )
            return


def _without_a_floor(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a custom loss that decreases below zero ever faster: a negated distance, or a likelihood."""
    level, objective = levels(run), main_objective(run)
    if level is None or level.broken_at is not None or objective is None or objective.loss != "custom":
        return
    means = blocks(values_of(run.curves.get(TRAIN_LOSS))[1])
    middle = len(means) // 2
    faster = (means[middle] - means[-1]) > limits["faster"] * max(means[0] - means[middle], 0.0)
    if level.end < -limits["deep"] * max(1.0, abs(level.start)) and faster and len(means) >= limits["looks"]:
        yield Evidence(
            first_step=0,
            numbers={"start_loss": level.start, "end_loss": level.end},
            message=f"The loss went from {level.begun} to {level.ended} and decreases ever faster, so it has no "
            "lower bound: a minus sign is missing, or there is one too many.",
            confidence=0.8,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for an error that is negated, or maximized by its optimizer, outside adversarial training."""
    model_summary = model_summary_of(run)
    if not adversarial(run):
        terms = list(_driven_down(model_summary, limits))
        yield from terms or _without_a_floor(run, limits)
    # With several objectives, one may be maximized intentionally (domain adaptation, entropy bonus).
    if adversarial(run) or not only_data_term(run) or model_summary.objectives[0].loss not in BOUNDED_LOSSES:
        return
    objective = model_summary.objectives[0]
    maximize = any(one.maximize for one in model_summary.optimizers)
    if (objective.sign < 0) == maximize:
        return
    how = "its optimizer maximizes it" if maximize else "its negative is minimized"
    yield Evidence(
        first_step=0,
        numbers={"loss": objective.loss, "sign": objective.sign, "maximize": maximize},
        message=f"{objective.loss} measures an error, and {how}: every step makes the predictions worse.",
    )


RULE = Rule(
    code="O213",
    name="flipped-objective",
    early=True,
    severity=Severity.ERROR,
    what="A loss that should decrease is maximized: it is negated, or the optimizer maximizes it.",
    why="Each step increases the error, without bound.",
    recommendation="Remove the minus sign (or maximize=True): optimizers minimize.",
    find=find,
    needs=("model_summary",),
    limits={
        "times": Limit(3.0, "an entropy bonus is bounded by the data loss; three times as much is not"),
        "deep": Limit(10.0, "ten times below its start, or below -10; likelihoods of data level off before"),
        "faster": Limit(1.5, "the second half decreased 1.5 times as much as the first; a bounded loss slows down"),
        "looks": Limit(20, "too few values to estimate the curvature"),
    },
    causes=(*BLOWING_UP, *NOT_LEARNING, *LOST_UNITS, "O207", "O208", "U601"),
    fixes=(Fix(action="set_sign", value=1.0, say="Minimize the loss itself.", code="loss.backward()  # not (-loss)"),),
    false_positives=("Gradient ascent on a trained network (adversarial examples, unlearning).",),
    sources=("torch.optim: step() minimizes unless maximize=True.",),
    fires_on=(
        lambda: example_run(objective=regression(loss="custom"), loss=1.0 - 1e-3 * np.arange(400.0) ** 2),
        lambda: example_run(
            facts={"terms": (Term(kind="data", first=44.0, last=43.0), Term(kind="outputs", first=-0.5, last=-900.0))}
        ),
        lambda: example_run(objective=regression(sign=-1.0), loss=np.asarray(-diverging(1.0, broken=False))),
        lambda: example_run(
            objective=regression(), facts={"optimizers": (msgspec.structs.replace(optimizer("SGD"), maximize=True),)}
        ),
    ),
    silent_on=(
        lambda: example_run(objective=regression(loss="custom"), loss=falling(2.0, -30.0)),
        lambda: example_run(
            facts={"terms": (Term(kind="data", first=2.3, last=0.4), Term(kind="outputs", first=-0.7, last=-1.1))}
        ),
        healthy,
        lambda: example_run(objective=regression(loss="custom", sign=-1.0), loss=falling(1.0, 0.1)),
    ),
)
