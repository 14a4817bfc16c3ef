"""G504: trainable parameters that never receive a gradient."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import overall, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for trainable layers whose median weight gradient is exactly zero."""
    model_summary = model_summary_of(run)
    # With several optimizers or objectives each step trains only a part of the network, by design.
    if adversarial(run) or len(model_summary.objectives) > 1 or len(run.layer_metrics.steps) < limits["samples"]:
        return
    outside = set(model_summary.unoptimized) | set(model_summary.unreached)
    layers = [one for one in weight_layers(run, trainable=True) if not outside & set(one.parameter_names)]
    zeros = [name for name, size in select(layers, overall(run, "gradient_rms")).items() if size == 0]
    if zeros and is_underperforming(run):
        yield Evidence(
            layers=tuple(zeros),
            first_step=int(run.layer_metrics.steps[0]),
            last_step=int(run.layer_metrics.steps[-1]),
            numbers={"layers": len(zeros), "of_layers": len(layers)},
            message=f"The gradient of {', '.join(zeros[:4])} is exactly 0 on more than half of the sampled steps: "
            "these layers keep their initial weights.",
        )


RULE = Rule(
    code="G504",
    name="missing-gradient",
    severity=Severity.WARNING,
    what="A trainable parameter never receives a gradient.",
    why="Without a gradient a layer keeps its random initial weights.",
    recommendation="Look for dead ReLUs, a softmax over one value, clamps, or .detach() between that layer and "
    "the loss.",
    find=find,
    needs=("model_summary", "curves", "layer_metrics"),
    limits={"samples": Limit(5, "a low-rank adapter gets no gradient in its first step, by design")},
    causes=(*NOT_LEARNING, "U603"),
    fixes=(Fix(action="change_code", say="Restore the gradient path: no detach, no no_grad, no dead units."),),
    false_positives=("Branches that are enabled later in training.",),
    sources=("The same check in torchtest2 and torch-audit (TA103, TA104).",),
    fires_on=(lambda: example_run(loss=flat(2.3), layer_metrics={"gradient_rms": [0.0, 0.0, 1e-2]}),),
    silent_on=(healthy,),
)
