"""W708: the loss is detached from part of the network."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer, OptimizerInfo
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy, optimizer
from babysit.rules.rule import Limit, Limits, Rule


def _layers(run: Run, names: set[str]) -> list[Layer]:
    """Return the layers whose parameters are all among these."""
    return [
        layer for layer in model_summary_of(run).layers if layer.parameter_names and set(layer.parameter_names) <= names
    ]


def _without_gradient(run: Run, unreached: set[str], limits: Limits) -> Evidence | None:
    """Look for an optimizer with many steps whose parameters never had a gradient."""
    for facts in model_summary_of(run).optimizers:
        own = set(facts.parameter_names)
        if not own or not own <= unreached or (facts.steps or 0) < limits["steps"]:
            continue
        layers = _layers(run, own)
        return Evidence(
            layers=tuple(layer.name for layer in layers),
            first_step=0,
            numbers={"steps": facts.steps or 0, "parameters": len(own)},
            message=f"{facts.kind} over {', '.join(layer.name for layer in layers[:4])} took {facts.steps} steps "
            "without any gradient: no loss depends on its parameters.",
        )
    return None


def _left_out(run: Run, unreached: set[str]) -> Evidence | None:
    """Look for a loss of a layer on which backward is never called, while nothing else trains the layer."""
    ends = [layer for layer in _layers(run, unreached) if layer.name in model_summary_of(run).idle_losses]
    if not ends:
        return None
    names = ", ".join(layer.name for layer in ends)
    return Evidence(
        layers=tuple(layer.name for layer in _layers(run, unreached)),
        first_step=0,
        numbers={"layers": len(ends)},
        message=f"A loss of {names} is computed, but backward is never called on it: it was detached (.item(), "
        ".detach(), float()) or not added. The layers before it keep their initial weights.",
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """List trainable layers that ran and got no gradient although later layers did."""
    model_summary = model_summary_of(run)
    unreached = set(model_summary.unreached)
    certain = _without_gradient(run, unreached, limits) or _left_out(run, unreached)
    if certain is not None:
        yield certain
    if certain is not None or adversarial(run) or not unreached:
        return
    cut = [
        layer
        for layer in model_summary.layers
        if layer.output_shape and layer.parameter_names and set(layer.parameter_names) <= unreached
        if layer.name not in model_summary.unused_outputs  # an unused output is not a detached one
    ]
    last = max((layer.order for layer in model_summary.layers if layer.is_output), default=-1)
    before = [layer for layer in cut if layer.order < last]
    if not before:
        return
    share = sum(layer.parameters for layer in before) / max(model_summary.trainable_parameters, 1)
    yield Evidence(
        layers=tuple(layer.name for layer in before),
        first_step=0,
        severity=Severity.ERROR if is_underperforming(run) else Severity.INFO,
        numbers={"layers": len(before), "share_of_parameters": share},
        message=f"{', '.join(layer.name for layer in before[:4])} run and are in the optimizer, but the loss does "
        f"not depend on them ({100 * share:.0f} % of all trainable parameters): the graph is detached after them.",
    )


RULE = Rule(
    code="W708",
    name="detached-graph",
    early=True,
    severity=Severity.ERROR,
    what="The loss is detached from part of the model (.detach, .item, numpy, no_grad).",
    why="Layers before the detached tensor get no gradient and keep their initial weights.",
    recommendation="Look for .detach(), .data, .item(), .numpy() or torch.no_grad() between these layers and the loss.",
    find=find,
    needs=("model_summary",),
    limits={"steps": Limit(20, "the number of initial steps that are all sampled")},
    causes=(*NOT_LEARNING, "G504", "U603", "W709", "O207"),
    fixes=(
        Fix(
            action="change_code", say="Pass the tensor itself.", code="output = head(features)  # not features.detach()"
        ),
    ),
    false_positives=("A part that is intentionally detached: INFO if the rest learns.",),
    sources=("torch.Tensor.detach: the result will never require gradient.",),
    fires_on=(
        lambda: example_run(loss=flat(2.3), facts={"unreached": ("layer0.weight", "layer0.bias")}),
        lambda: example_run(
            facts={
                "unreached": ("layer0.weight", "layer0.bias"),
                "optimizers": (
                    optimizer(),
                    OptimizerInfo(kind="Adam", parameter_names=("layer0.weight", "layer0.bias"), steps=400),
                ),
            }
        ),
        lambda: example_run(
            facts={"unreached": ("layer1.weight", "layer1.bias"), "idle_losses": ("layer1",)},
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(
            loss=flat(2.3),
            facts={"unreached": ("layer0.weight", "layer0.bias"), "unused_outputs": ("layer0",)},
        ),
    ),
)
