"""W709: an unused module."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.analysis.layer_metrics import overall
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer, ModelSummary, OptimizerInfo
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, healthy, optimizer
from babysit.rules.rule import Limits, Rule


def _never_ran(run: Run) -> list[Layer]:
    """Return trainable layers that never ran and got no gradient, while others ran."""
    model_summary = model_summary_of(run)
    executed = [layer for layer in model_summary.layers if layer.output_shape]
    # In compiled networks or alternating parts, most calls are not observed.
    if len(executed) < len(model_summary.layers) / 2 or adversarial(run) or model_summary.compiled:
        return []
    # Layers inside one that ran, or with a gradient, were used without being called as modules.
    inside = tuple(layer.name + "." for layer in executed)
    moved = {name for name, size in overall(run, "gradient_rms").items() if size > 0}
    return [
        layer
        for layer in model_summary.layers
        if not layer.output_shape and layer.parameters > 0 and layer.trainable and layer.name not in moved
        if not layer.name.startswith(inside) and _never_trained(model_summary, layer)
    ]


def _never_trained(model_summary: ModelSummary, layer: Layer) -> bool:
    """Check whether no trainable tensor of the layer in an optimizer ever had a gradient.

    Tensors in no optimizer are intentionally not trained: a teacher, a target network, a frozen backbone.
    """
    optimized = {name for one in model_summary.optimizers for name in one.parameter_names}
    if not optimized or not layer.parameter_names:
        return True
    own = optimized & set(layer.parameter_names) - set(model_summary.frozen)
    return bool(own) and own <= set(model_summary.unreached)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """List layers that never ran while others did, then those whose output is not used."""
    model_summary = model_summary_of(run)
    idle = _never_ran(run)
    if idle:
        yield Evidence(
            layers=tuple(layer.name for layer in idle),
            first_step=0,
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            confidence=0.9,
            numbers={"layers": len(idle), "parameters": sum(layer.parameters for layer in idle)},
            message=f"{', '.join(layer.name for layer in idle[:4])} never ran in training: "
            f"{sum(layer.parameters for layer in idle):,} parameters in the optimizer are unused.",
        )
    ends = [one for one in model_summary.layers if one.name in model_summary.unused_outputs and one.parameter_names]
    unused = [one for one in ends if one.trainable and one.output_shape and _never_trained(model_summary, one)]
    if unused:
        yield Evidence(
            layers=tuple(layer.name for layer in unused),
            first_step=0,
            severity=Severity.INFO,
            confidence=0.9,
            numbers={"layers": len(unused), "parameters": sum(layer.parameters for layer in unused)},
            message=f"{', '.join(layer.name for layer in unused[:4])} ran, but their output was not used: no loss "
            f"depends on these {sum(layer.parameters for layer in unused):,} parameters.",
        )


def _holding(*names: str) -> OptimizerInfo:
    return msgspec.structs.replace(optimizer(), parameter_names=names)


RULE = Rule(
    code="W709",
    name="unused-module",
    severity=Severity.INFO,
    what="A registered module is not used in the computation.",
    why="Often a missing line in forward; otherwise wasted memory.",
    recommendation="Call it in forward, or remove it.",
    find=find,
    needs=("model_summary",),
    causes=NOT_LEARNING,
    fixes=(Fix(action="change_code", say="Use it or remove it."),),
    false_positives=("Heads used only in evaluation, and weights used without calling their module.",),
    sources=("torch-audit TA500: unused layer.",),
    fires_on=(
        lambda: example_run(
            facts={"unreached": ("spare.weight",), "optimizers": (_holding("layer0.weight", "spare.weight"),)},
            layers=(
                *dense_layers((20, 64, 10)),
                Layer(
                    name="spare",
                    kind="Linear",
                    order=9,
                    parameter_names=("spare.weight",),
                    parameters=100,
                    weight_shape=(10, 10),
                ),
            ),
            vital_layers=("layer0", "layer1"),
        ),
    ),
    silent_on=(
        healthy,
        # A layer with a trained tensor is used, even if its frozen tensor is larger.
        lambda: example_run(
            facts={"frozen": ("table.fixed",), "optimizers": (_holding("layer0.weight", "table.fixed", "table.own"),)},
            layers=(
                *dense_layers((20, 64, 10)),
                Layer(
                    name="table", kind="Table", order=9, parameters=100, parameter_names=("table.fixed", "table.own")
                ),
            ),
            vital_layers=("layer0", "layer1"),
        ),
    ),
)
