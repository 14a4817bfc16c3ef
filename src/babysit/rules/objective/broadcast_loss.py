"""O206: prediction and target were stretched to fit each other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from babysit.analysis.model_structure import model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import ValueSummary
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import BATCH, example_run, flat, healthy, healthy_regression, regression
from babysit.rules.rule import Limits, Rule


def stretched_shape(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that broadcasting makes of two shapes, right-aligned; () when they do not fit."""
    length = max(len(one), len(other))
    left, right = (1,) * (length - len(one)) + one, (1,) * (length - len(other)) + other
    fits = all(a == b or 1 in (a, b) for a, b in zip(left, right, strict=True))
    return tuple(map(max, left, right)) if fits else ()


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Fires when the stretched loss holds more values than the prediction and the target do."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        output, target = objective.prediction.shape, objective.target.shape
        shape = stretched_shape(output, target)
        # A stretch that only repeats a scalar or a row of weights keeps the size of the larger one and is meant.
        if not objective.broadcast or math.prod(shape) <= max(math.prod(output), math.prod(target)):
            continue
        yield Evidence(
            first_step=0,
            numbers={"objective": number, "prediction": str(output), "target": str(target), "compared": str(shape)},
            message=f"The prediction has shape {output} and the target {target}; the loss compares each of them with "
            f"all the others, shape {shape}. The best answer is then the mean of all targets.",
        )


RULE = Rule(
    code="O206",
    name="broadcast-loss",
    early=True,
    severity=Severity.ERROR,
    what="Prediction and target have shapes that broadcast in the loss, such as (N, 1) with (N,).",
    why="Every prediction is compared with the target of every sample, so the network learns their mean.",
    recommendation="Give both the same shape: `output.squeeze(1)` or `target.unsqueeze(1)`.",
    find=find,
    needs=("model_summary",),
    causes=(*NOT_LEARNING, "O207", "U602"),
    fixes=(
        Fix(
            action="match_shapes",
            say="Compare shapes that are equal.",
            code="loss = torch.nn.functional.mse_loss(output.squeeze(1), target)",
        ),
    ),
    false_positives=("All pairs compared on purpose (contrastive and kernel losses written with broadcasting).",),
    sources=(
        "torch warns: 'Using a target size that is different to the input size … will likely lead to incorrect'.",
    ),
    fires_on=(
        lambda: example_run(
            objective=regression(target=ValueSummary(shape=(BATCH,), variance=1.0), broadcast=True), loss=flat(1.0)
        ),
    ),
    silent_on=(
        healthy,
        healthy_regression,
        lambda: example_run(objective=regression(target=ValueSummary(shape=()), broadcast=True)),
    ),
)
