"""W709: a module that takes no part."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import whole
from babysit.analysis.learning import poor
from babysit.analysis.model_structure import adversarial, anatomy_of
from babysit.records.anatomy import Layer
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, healthy
from babysit.rules.rule import Limits, Rule
from babysit.rules.symptoms import NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Lists layers that were never seen running while others were."""
    layers = anatomy_of(run).layers
    ran = [layer for layer in layers if layer.output_shape]
    # What lies inside a layer that ran, or got a gradient, was used without being called as a module.
    inside = tuple(layer.name + "." for layer in ran)
    used = {name for name, size in whole(run, "gradient_rms").items() if size > 0}
    idle = [
        layer
        for layer in layers
        if not layer.output_shape and layer.parameters > 0 and layer.name not in used
        if not layer.name.startswith(inside)
    ]
    # A compiled network, or parts that take turns, show little of what runs.
    if not idle or len(ran) < len(layers) / 2 or adversarial(run) or anatomy_of(run).compiled:
        return
    held = {name for one in anatomy_of(run).optimizers for name in one.parameter_names}
    # What no optimizer holds is meant to rest in training: a teacher, a target network, a frozen backbone.
    idle = [layer for layer in idle if layer.trainable and not _rests(layer, held)]
    if not idle:
        return
    yield Evidence(
        layers=tuple(layer.name for layer in idle),
        first_step=0,
        severity=Severity.WARNING if poor(run) else Severity.INFO,
        confidence=0.9,
        numbers={"layers": len(idle), "parameters": sum(layer.parameters for layer in idle)},
        meaning=f"{', '.join(layer.name for layer in idle[:4])} never ran in training: "
        f"{sum(layer.parameters for layer in idle):,} parameters that the optimizer holds take no part.",
    )


def _rests(layer: Layer, held: set[str]) -> bool:
    """Whether the optimizers are known, and hold nothing of the layer."""
    return bool(held and layer.parameter_names) and held.isdisjoint(layer.parameter_names)


RULE = Rule(
    code="W709",
    name="unused-module",
    severity=Severity.INFO,
    what="A registered module takes no part in the computation.",
    why="Often a forgotten line in forward; else memory for nothing.",
    advice="Call it in forward, or remove it.",
    find=find,
    needs=("anatomy",),
    leads_to=NOT_LEARNING,
    treatments=(Treatment(action="change_code", say="Use it or drop it."),),
    false_positives=("Heads that are used only at evaluation, and weights that are used without their module.",),
    sources=("torch-audit TA500: unused layer.",),
    fires_on=(
        lambda: example_run(
            layers=(
                *dense_layers((20, 64, 10)),
                Layer(name="spare", kind="Linear", order=9, parameters=100, weight_shape=(10, 10)),
            ),
            vital_layers=("layer0", "layer1"),
        ),
    ),
    silent_on=(healthy,),
)
