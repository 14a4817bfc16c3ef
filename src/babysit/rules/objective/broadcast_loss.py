"""O206: prediction and target are broadcast against each other."""

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


def broadcast_shape(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Return the broadcast shape of two shapes; () if they are incompatible."""
    length = max(len(one), len(other))
    left, right = (1,) * (length - len(one)) + one, (1,) * (length - len(other)) + other
    fits = all(a == b or 1 in (a, b) for a, b in zip(left, right, strict=True))
    return tuple(map(max, left, right)) if fits else ()


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check whether the broadcast loss has more values than prediction and target."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        output, target = objective.prediction.shape, objective.target.shape
        shape = broadcast_shape(output, target)
        # Broadcasting a scalar or a row of weights keeps the larger size and is intended.
        if not objective.broadcast or math.prod(shape) <= max(math.prod(output), math.prod(target)):
            continue
        yield Evidence(
            first_step=0,
            numbers={"objective": number, "prediction": str(output), "target": str(target), "compared": str(shape)},
            message=f"The prediction has shape {output} and the target {target}; the loss broadcasts them to "
            f"{shape}, so each prediction is compared with every target. The best prediction is then the mean of "
            "all targets.",
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
            say="Compare tensors of equal shape.",
            code="loss = torch.nn.functional.mse_loss(output.squeeze(1), target)",
        ),
    ),
    false_positives=("Intentional comparison of all pairs (contrastive and kernel losses written with broadcasting).",),
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
