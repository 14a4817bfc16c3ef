"""W708: the loss is cut off from part of the network."""

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
    """The layers all of whose parameters are among these."""
    return [
        layer for layer in model_summary_of(run).layers if layer.parameter_names and set(layer.parameter_names) <= names
    ]


def _starved(run: Run, unreached: set[str], limits: Limits) -> Evidence | None:
    """An optimizer that steps and steps, and none of whose parameters ever had a gradient."""
    for facts in model_summary_of(run).optimizers:
        held = set(facts.parameter_names)
        if not held or not held <= unreached or (facts.steps or 0) < limits["steps"]:
            continue
        layers = _layers(run, held)
        return Evidence(
            layers=tuple(layer.name for layer in layers),
            first_step=0,
            numbers={"steps": facts.steps or 0, "parameters": len(held)},
            message=f"{facts.kind} over {', '.join(layer.name for layer in layers[:4])} stepped {facts.steps} times "
            "and never had a gradient to step with: its loss does not depend on what it should train.",
        )
    return None


def _left_out(run: Run, unreached: set[str]) -> Evidence | None:
    """A loss is computed from a layer's output and takes no part in any backward, and nothing else trains the layer."""
    ends = [layer for layer in _layers(run, unreached) if layer.name in model_summary_of(run).idle_losses]
    if not ends:
        return None
    names = ", ".join(layer.name for layer in ends)
    return Evidence(
        layers=tuple(layer.name for layer in _layers(run, unreached)),
        first_step=0,
        numbers={"layers": len(ends)},
        message=f"A loss of {names} is computed, and backward is never called on it: it was taken out of the graph "
        "(.item(), .detach(), float()) or not added. What leads to it keeps its random weights.",
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Lists layers that ran, should train, and got no gradient though later layers did."""
    model_summary = model_summary_of(run)
    unreached = set(model_summary.unreached)
    sure = _starved(run, unreached, limits) or _left_out(run, unreached)
    if sure is not None:
        yield sure
    if sure is not None or adversarial(run) or not unreached:
        return
    cut = [
        layer
        for layer in model_summary.layers
        if layer.output_shape and layer.parameter_names and set(layer.parameter_names) <= unreached
        if layer.name not in model_summary.unused_outputs  # nothing is cut where the output just is not used
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
        message=f"{', '.join(layer.name for layer in before[:4])} run and are held by the optimizer, but the loss "
        f"does not depend on them ({100 * share:.0f} % of all trainable parameters): the graph is cut after them.",
    )


RULE = Rule(
    code="W708",
    name="detached-graph",
    early=True,
    severity=Severity.ERROR,
    what="The loss is cut off from part of the model (.detach, .item, numpy, no_grad).",
    why="What lies before the cut gets no gradient and keeps its random weights.",
    recommendation="Look for .detach(), .data, .item(), .numpy() or torch.no_grad() between these layers and the loss.",
    find=find,
    needs=("model_summary",),
    limits={"steps": Limit(20, "as many steps as are looked at in full")},
    causes=(*NOT_LEARNING, "G504", "U603", "W709", "O207"),
    fixes=(
        Fix(
            action="change_code", say="Feed the tensor itself.", code="output = head(features)  # not features.detach()"
        ),
    ),
    false_positives=("A part that is detached on purpose: INFO while the rest learns.",),
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
