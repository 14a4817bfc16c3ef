"""O213: the objective is driven the wrong way."""

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
    """A penalty below zero that only ever sinks while the data's part stays what it is: its sign is turned round."""
    data = sum(abs(term.first) for term in model_summary.terms if term.kind == "data")
    for term in model_summary.terms:
        deep = term.last < -limits["times"] * max(abs(term.first), data)
        if term.kind != "data" and data and deep:
            yield Evidence(
                first_step=0,
                numbers={"first": term.first, "last": term.last, "data_loss": data},
                message=f"A part of the loss that no target enters went from {term.first:.3g} to {term.last:.3g} and "
                "has no floor: it is minimized where it should be maximized, or the reverse. Its sign is wrong.",
                confidence=0.9,
            )
            return


def _without_a_floor(run: Run, limits: Limits) -> Iterator[Evidence]:
    """A loss of the user's own that falls below zero, ever faster: a likelihood is minimized, or a distance."""
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
            message=f"The loss went from {level.begun} to {level.ended} and falls ever faster: it has no floor. "
            "What should be made large is made small: a minus sign is missing or too many.",
            confidence=0.8,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Fires when a loss that measures error is negated, or maximized by its optimizer, outside adversarial training."""
    model_summary = model_summary_of(run)
    if not adversarial(run):
        terms = list(_driven_down(model_summary, limits))
        yield from terms or _without_a_floor(run, limits)
    # Several objectives: one of them may be pushed up on purpose (domain adaptation, entropy bonus).
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
        message=f"{objective.loss} measures error, and {how}: every step makes the predictions worse.",
    )


RULE = Rule(
    code="O213",
    name="flipped-objective",
    early=True,
    severity=Severity.ERROR,
    what="A loss that should fall is driven up: negated, or maximized by the optimizer.",
    why="Each step goes uphill; the error grows without bound.",
    recommendation="Drop the minus sign (or maximize=True): optimizers minimize.",
    find=find,
    needs=("model_summary",),
    limits={
        "times": Limit(3.0, "an entropy bonus is bounded by the data's own loss; three times it is not"),
        "deep": Limit(10.0, "ten times below where it began, or below -10; likelihoods of data level off before"),
        "faster": Limit(1.5, "the second half fell half as much again as the first; what has a floor slows down"),
        "looks": Limit(20, "fewer values show no curvature"),
    },
    causes=(*BLOWING_UP, *NOT_LEARNING, *LOST_UNITS, "O207", "O208", "U601"),
    fixes=(Fix(action="set_sign", value=1.0, say="Minimize the loss itself.", code="loss.backward()  # not (-loss)"),),
    false_positives=("Gradient ascent on a trained network (adversarial examples, unlearning).",),
    sources=("torch.optim: step() descends unless maximize=True.",),
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
