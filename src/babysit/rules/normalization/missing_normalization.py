"""N805: a deep network without normalization trains poorly."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Count consecutive weight layers without normalization; requires poor results."""
    layers = weight_layers(run)
    normalized = any(layer.norm for layer in model_summary_of(run).layers)
    chained = sum(bool(layer.source) for layer in layers) >= len(layers) - 1
    if (
        len(layers) >= limits["depth"]
        and chained
        and not normalized
        and not adversarial(run)
        and is_underperforming(run)
    ):
        yield Evidence(
            layers=tuple(layer.name for layer in layers),
            numbers={"layers": len(layers)},
            message=f"{len(layers)} consecutive weight layers have no normalization or skip connections, and the "
            "training learns poorly.",
            confidence=0.5,
        )


RULE = Rule(
    code="N805",
    name="missing-normalization",
    severity=Severity.INFO,
    what="A deep network without normalization trains poorly.",
    why="Small errors of scale multiply with depth; batch norm corrects them at every layer.",
    recommendation="Insert batch norm between layer and activation, or add skip connections.",
    find=find,
    needs=("model_summary", "curves"),
    limits={"depth": Limit(8, "He et al. 2016: networks without skip connections degrade beyond about ten layers")},
    fixes=(Fix(action="insert_batch_norm", say="Normalize between the layers.", code="nn.BatchNorm1d(width)"),),
    false_positives=("Depth is rarely the only cause: INFO.",),
    sources=("Ioffe & Szegedy 2015.", "CS231n lecture 6."),
    fires_on=(lambda: example_run(layers=dense_layers((32,) * 12), loss=flat(2.3)),),
    silent_on=(healthy,),
)
