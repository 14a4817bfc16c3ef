"""G504: trainable parameters that never receive a gradient."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import of, whole
from babysit.analysis.learning import poor
from babysit.analysis.model_structure import adversarial, anatomy_of, weight_layers
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.symptoms import NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Looks for trained layers whose weight gradient was exactly zero on every sampled step."""
    anatomy = anatomy_of(run)
    # With several optimizers or objectives each step reaches only part of the network, by design.
    if adversarial(run) or len(anatomy.objectives) > 1 or len(run.vitals.steps) < limits["samples"]:
        return
    outside = set(anatomy.unoptimized) | set(anatomy.unreached)
    layers = [one for one in weight_layers(run, trainable=True) if not outside & set(one.parameter_names)]
    zeros = [name for name, size in of(layers, whole(run, "gradient_rms")).items() if size == 0]
    if zeros and poor(run):
        yield Evidence(
            layers=tuple(zeros),
            first_step=int(run.vitals.steps[0]),
            last_step=int(run.vitals.steps[-1]),
            numbers={"layers": len(zeros), "of_layers": len(layers)},
            meaning=f"The gradient of {', '.join(zeros[:4])} is exactly 0 on more than half of the sampled steps: "
            "these layers stay as they were initialized.",
        )


RULE = Rule(
    code="G504",
    name="missing-gradient",
    severity=Severity.WARNING,
    what="A trainable parameter never receives gradient.",
    why="Without gradient a layer keeps its random weights.",
    advice="Look for dead ReLUs, a softmax over one value, clamps, or .detach() between that layer and the loss.",
    find=find,
    needs=("anatomy", "curves", "vitals"),
    limits={"samples": Limit(5, "a low-rank adapter gets no gradient in its first step, by design")},
    leads_to=(*NOT_LEARNING, "U603"),
    treatments=(Treatment(action="change_code", say="Let the gradient through: no detach, no no_grad, no dead end."),),
    false_positives=("Branches that are switched on later in training.",),
    sources=("torchtest2 and torch-audit report the same (TA103, TA104).",),
    fires_on=(lambda: example_run(loss=flat(2.3), vitals={"gradient_rms": [0.0, 0.0, 1e-2]}),),
    silent_on=(healthy,),
)
