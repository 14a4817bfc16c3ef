"""O201: probabilities go where logits are wanted, or logits where probabilities are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from babysit.analysis.learning import poor
from babysit.analysis.loss_curve import levels
from babysit.analysis.model_structure import CLASS_LOSSES, NORMALIZING, anatomy_of, by_hand, last_operation, meaningful
from babysit.records.anatomy import Objective, Operation, ValueSummary
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import BATCH, binary, classes, example_run, falling, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.symptoms import BLOWING_UP, NOT_LEARNING

WANTS_LOGITS = {"cross_entropy": "softmax", "binary_cross_entropy_with_logits": "sigmoid"}
WANTS_LOGARITHMS = {"nll_loss", "kl_div"}
# After one of these a value is positive, so that its logarithm means something.
POSITIVE = NORMALIZING | {"softplus", "exp", "abs", "relu", "square", "div", "add", "pow"}


def _twice(objective: Objective) -> str:
    """What is applied twice: by the network and by its loss, or by the network alone."""
    last = last_operation(objective)
    inside = WANTS_LOGITS.get(objective.loss)
    # log_softmax before cross_entropy changes nothing: the log-softmax of a log-softmax is itself.
    if last is not None and inside and last.name in {"softmax", "sigmoid"}:
        return f"{last.name}, and {objective.loss} applies {inside} itself"
    names = [operation.name for operation in meaningful(objective.chain)]
    for before, after in pairwise(names):
        if before in {"softmax", "sigmoid"} and after in NORMALIZING:
            return f"{before} and then {after}"
    return ""


def _starts_or_ends_too_low(run: Run, objective: Objective) -> bool:
    """Whether the loss is far below what log-probabilities would give: without a logarithm it starts near 0 or under.

    A likelihood written by hand may take the logarithm later than what was seen; its loss starts near ln C.
    """
    level = levels(run)
    return level is None or level.end < 0 or level.start < 0.3 * math.log(max(objective.outputs, 2))


def _wants_logarithms(objective: Objective, above: float) -> str:
    if objective.loss not in WANTS_LOGARITHMS or objective.prediction.high <= above:
        return ""
    last = last_operation(objective)
    if last is not None and last.name in {"log_softmax", "logsigmoid", "log"}:
        return ""
    given = "probabilities" if last is not None and last.name in NORMALIZING else "raw outputs"
    return (
        f"{given} up to {objective.prediction.high:.3g}, and {objective.loss} wants log-probabilities (never above 0)"
    )


def _wants_probabilities(objective: Objective, margin: float) -> str:
    low, high = objective.prediction.low, objective.prediction.high
    named = objective.loss == "binary_cross_entropy" and not by_hand(objective)
    if not named or -margin <= low <= high <= 1 + margin:
        return ""
    return f"raw outputs from {low:.3g} to {high:.3g}, and {objective.loss} wants probabilities, 0 to 1"


def _logarithm_of_logits(objective: Objective, run: Run) -> str:
    chain: tuple[Operation, ...] = meaningful(objective.chain)
    names = [operation.name.rstrip("_") for operation in chain]
    level = levels(run)
    if "log" not in names or level is None or level.broken_at is None:
        return ""
    before = set(names[: names.index("log")])
    return "" if before & POSITIVE else "raw outputs whose logarithm is taken; that of a negative number is NaN"


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the chain of operations between the last layer and each loss."""
    for number, objective in enumerate(anatomy_of(run).objectives):
        seen = (
            _twice(objective)
            or (_starts_or_ends_too_low(run, objective) and _wants_logarithms(objective, limits["log_probability"]))
            or _wants_probabilities(objective, limits["log_probability"])
            or _logarithm_of_logits(objective, run)
        )
        if not seen:
            continue
        keep = "BCEWithLogitsLoss" if "binary" in objective.loss else "cross_entropy"
        hurt = poor(run)
        yield Evidence(
            numbers={
                "objective": number,
                "loss": objective.loss,
                "chain": " > ".join(operation.name for operation in objective.chain) or "nothing",
                "prediction_low": objective.prediction.low,
                "prediction_high": objective.prediction.high,
            },
            meaning=f"The loss gets {seen}. Gradients are squeezed or turned round, and the loss has a wrong floor.",
            advice=f"Give the raw outputs of the last layer (logits) to {keep}, and take softmax only for reading.",
            first_step=0,
            confidence=1.0 if hurt else 0.9,
            severity=Severity.ERROR if hurt or objective.loss in CLASS_LOSSES else Severity.WARNING,
        )


RULE = Rule(
    code="O201",
    name="double-softmax",
    early=True,
    severity=Severity.ERROR,
    what="Probabilities go into a loss that applies softmax or sigmoid again, or logits into one that does not.",
    why="A second softmax squeezes outputs into [1/C, e/C]: gradients shrink and the loss can never come near 0.",
    advice="Give the raw outputs of the last layer to cross_entropy or binary_cross_entropy_with_logits.",
    find=find,
    needs=("anatomy",),
    limits={"log_probability": Limit(1e-4, "logarithms of probabilities are at most 0; the rest is rounding")},
    leads_to=(*NOT_LEARNING, *BLOWING_UP, "G501", "O207", "O208", "U602", "U603"),
    treatments=(
        Treatment(
            action="remove_output_activation",
            say="Drop the softmax at the end of the network and keep cross-entropy.",
            code="logits = last_layer(hidden)\nloss = torch.nn.functional.cross_entropy(logits, labels)",
        ),
    ),
    false_positives=(
        "A softmax whose result is used inside the network (attention, gates) is not meant: only what is last counts.",
    ),
    sources=(
        "torch.nn.CrossEntropyLoss: 'the input is expected to contain the unnormalized logits'.",
        "Among 273 documented training faults, the pair of output and loss is the most frequent kind.",
    ),
    fires_on=(
        lambda: example_run(objective=classes("softmax"), loss=falling(2.3, 1.9)),
        lambda: example_run(objective=classes(loss="nll_loss"), loss=flat(-40.0)),
        lambda: example_run(objective=classes("sigmoid", "log_softmax", loss="nll_loss"), loss=falling(2.3, 1.8)),
        lambda: example_run(
            objective=binary(loss="binary_cross_entropy", prediction=ValueSummary(shape=(BATCH, 1), low=-2.0, high=3.0))
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(objective=classes("log_softmax", loss="nll_loss")),
        lambda: example_run(objective=classes("softmax", "matmul")),
    ),
)
