"""A404: weight layers follow each other with nothing between."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from babysit.analysis.learning import poor
from babysit.analysis.model_structure import RECURRENT, anatomy_of, is_batch_norm, weight_layers
from babysit.records.anatomy import Layer
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule

PLAIN = ("Linear", "Conv", "matmul")


def _origin(run: Run, layer: Layer) -> str:
    """The layer that feeds this one, batch norms without an activation passed over: they scale and shift only."""
    source = layer.source
    between = anatomy_of(run).layer(source)
    while between is not None and is_batch_norm(between) and not between.activation:
        source = between.source
        between = anatomy_of(run).layer(source)
    return source


def _joined(run: Run, before: Layer, after: Layer) -> bool:
    """Whether one layer's output is, as far as shapes and notes tell, the next one's input."""
    if before.activation or not before.kind.startswith(PLAIN) or not after.kind.startswith(PLAIN):
        return False
    if after.source:
        return _origin(run, after) == before.name
    # Parallel branches have equal inputs; a chain has one's output as the other's input.
    return bool(before.output_shape) and before.output_shape == after.input_shape != before.input_shape


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Looks for neighbours without an activation; an alarm only when the whole network is linear and learns badly."""
    layers = weight_layers(run)
    kinds = {layer.kind for layer in anatomy_of(run).layers}
    # In these, what stands beside each other is not a chain, and what is between is inside the module.
    special = kinds & RECURRENT or any("Attention" in kind or "Transformer" in kind for kind in kinds)
    if special or any(layer.norm and not is_batch_norm(layer) for layer in anatomy_of(run).layers):
        return
    pairs = [(a, b) for a, b in pairwise(layers) if _joined(run, a, b)]
    if not pairs:
        return
    names = tuple(dict.fromkeys(layer.name for pair in pairs for layer in pair))
    all_linear = len(pairs) == len(layers) - 1
    hurt = all_linear and poor(run, below=limits["learned"])
    yield Evidence(
        layers=names,
        first_step=0,
        severity=Severity.WARNING if hurt else Severity.INFO,
        confidence=0.8,
        numbers={"layers": len(names), "of_layers": len(layers)},
        meaning=f"{', '.join(names[:6])} follow each other without an activation: together they can do no more than "
        + ("a single linear layer, and the whole network is linear." if all_linear else "one linear layer."),
    )


RULE = Rule(
    code="A404",
    name="linear-stack",
    severity=Severity.WARNING,
    what="Two or more weight layers without a nonlinearity between them.",
    why="A product of matrices is a matrix: the extra layers add cost and no ability.",
    advice="Put an activation between the layers, or merge them into one.",
    find=find,
    needs=("anatomy",),
    limits={"learned": Limit(0.7, "seven tenths of the prior loss removed: the task was nearly linear after all")},
    leads_to=("F902", "F903", "F905", "O210"),
    treatments=(
        Treatment(
            action="insert_activation",
            value="relu",
            say="Put ReLU between the layers.",
            code="nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c))",
        ),
    ),
    false_positives=("Low-rank factors (adapters, bottlenecks) are linear stacks on purpose: INFO.",),
    sources=("W2 (W1 x) = (W2 W1) x; CS231n lecture 6: without a nonlinearity layers collapse.",),
    fires_on=(lambda: example_run(layers=dense_layers((20, 64, 64, 10), activation=""), loss=flat(1.9)),),
    silent_on=(healthy,),
)
