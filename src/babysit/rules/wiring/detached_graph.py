"""W708: the loss is cut off from part of the network."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.progress import poor
from babysit.rules.rule import Limits, Rule
from babysit.rules.structure import adversarial, anatomy_of
from babysit.rules.symptoms import NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Lists layers that ran, should train, and got no gradient though later layers did."""
    anatomy = anatomy_of(run)
    if adversarial(run) or not anatomy.unreached:
        return
    unreached = set(anatomy.unreached)
    cut = [
        layer
        for layer in anatomy.layers
        if layer.output_shape and layer.parameter_names and set(layer.parameter_names) <= unreached
    ]
    last = max((layer.order for layer in anatomy.layers if layer.is_output), default=-1)
    before = [layer for layer in cut if layer.order < last]
    if not before:
        return
    share = sum(layer.parameters for layer in before) / max(anatomy.trainable_parameters, 1)
    yield Evidence(
        layers=tuple(layer.name for layer in before),
        first_step=0,
        severity=Severity.ERROR if poor(run) else Severity.INFO,
        numbers={"layers": len(before), "share_of_parameters": share},
        meaning=f"{', '.join(layer.name for layer in before[:4])} run and are held by the optimizer, but the loss "
        f"does not depend on them ({100 * share:.0f} % of all trainable parameters): the graph is cut after them.",
    )


RULE = Rule(
    code="W708",
    name="detached-graph",
    early=True,
    severity=Severity.ERROR,
    what="The loss is cut off from part of the model (.detach, .item, numpy, no_grad).",
    why="What lies before the cut gets no gradient and keeps its random weights.",
    advice="Look for .detach(), .data, .item(), .numpy() or torch.no_grad() between these layers and the loss.",
    find=find,
    needs=("anatomy",),
    leads_to=(*NOT_LEARNING, "G504", "U603", "W709"),
    treatments=(
        Treatment(
            action="change_code", say="Feed the tensor itself.", code="output = head(features)  # not features.detach()"
        ),
    ),
    false_positives=("A part that is detached on purpose: INFO while the rest learns.",),
    sources=("torch.Tensor.detach: the result will never require gradient.",),
    fires_on=(lambda: example_run(loss=flat(2.3), facts={"unreached": ("layer0.weight", "layer0.bias")}),),
    silent_on=(healthy,),
)
