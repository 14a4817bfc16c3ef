"""N801: a bias directly before batch norm."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.model_structure import is_batch_norm, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, healthy
from babysit.rules.rule import Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """List layers with a bias whose output goes directly into batch norm."""
    layers = {layer.name: layer for layer in model_summary_of(run).layers}
    feeding = [layers[norm.source] for norm in layers.values() if is_batch_norm(norm) and norm.source in layers]
    biased = [layer for layer in feeding if layer.has_bias and not layer.norm and not layer.activation]
    if biased:
        yield Evidence(
            layers=tuple(layer.name for layer in biased),
            numbers={"layers": len(biased)},
            message=f"The bias of {', '.join(layer.name for layer in biased[:4])} is removed by the following "
            "batch norm, so it has no effect.",
        )


RULE = Rule(
    code="N801",
    name="bias-before-norm",
    severity=Severity.INFO,
    what="A layer directly before batch norm has a bias.",
    why="Batch norm subtracts the mean and with it the bias; its own shift replaces the bias.",
    recommendation="Use bias=False in that layer.",
    find=find,
    needs=("model_summary",),
    fixes=(Fix(action="remove_bias", say="Remove the bias.", code="nn.Linear(a, b, bias=False)"),),
    false_positives=("Harmless apart from a little memory and time.",),
    sources=("Ioffe & Szegedy 2015 (arXiv 1502.03167), section 3.2.",),
    fires_on=(
        lambda: example_run(
            layers=(
                *dense_layers((20, 64), activation="", is_output=False),
                Layer(name="norm", kind="BatchNorm1d", order=1, norm=True, source="layer0"),
            )
        ),
    ),
    silent_on=(healthy,),
)
