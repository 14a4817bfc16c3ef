"""N802: batch norm after the activation instead of before it."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.model_structure import is_batch_norm, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, healthy
from babysit.rules.rule import Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """List batch norms that follow an activation."""
    layers = {layer.name: layer for layer in model_summary_of(run).layers}
    after = [
        norm
        for norm in layers.values()
        if is_batch_norm(norm)
        and norm.source in layers
        and layers[norm.source].activation
        and not layers[norm.source].norm
    ]
    if after:
        yield Evidence(
            layers=tuple(norm.name for norm in after),
            numbers={"layers": len(after)},
            message=f"{', '.join(norm.name for norm in after[:4])} follow the activation; placed before it, they "
            "would also keep its inputs in the unsaturated range.",
        )


RULE = Rule(
    code="N802",
    name="norm-after-activation-order",
    severity=Severity.INFO,
    what="Batch norm is placed after the activation.",
    why="Before the activation, batch norm keeps its inputs in the unsaturated range; after it, batch norm only "
    "rescales.",
    recommendation="Use the order layer, batch norm, activation; compare both orders if it matters.",
    find=find,
    needs=("model_summary",),
    fixes=(
        Fix(
            action="reorder",
            say="Normalize before the activation.",
            code="nn.Sequential(nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU())",
        ),
    ),
    false_positives=("Both orders train well, and some measurements favor the other one.",),
    sources=("CS231n lecture 6: insert batch norm before the nonlinearity.",),
    fires_on=(
        lambda: example_run(
            layers=(
                *dense_layers((20, 64, 64)),
                Layer(name="norm", kind="BatchNorm1d", order=2, norm=True, source="layer0"),
            )
        ),
    ),
    silent_on=(healthy,),
)
