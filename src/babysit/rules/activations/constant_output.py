"""A406: the output does not depend on the input."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import last_window
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, output_layer
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, flat, healthy, regression
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads how much the output differs between samples at the end (for one output its whole spread tells)."""
    layer = output_layer(run)
    if layer is None or adversarial(run) or not is_underperforming(run):
        return
    # With several outputs the spread also holds the difference between them, so the spread over samples is needed.
    single = bool(layer.weight_shape) and layer.weight_shape[0] == 1
    metric = (
        "sample_std" if last_window(run, "sample_std").get(layer.name) is not None else "output_std" if single else ""
    )
    spread = last_window(run, metric).get(layer.name) if metric else None
    level = abs(last_window(run, "activation_mean").get(layer.name, 0.0))
    if spread is None or spread > limits["spread"] * max(level, 1.0):
        return
    yield Evidence(
        layers=(layer.name,),
        last_step=int(run.layer_metrics.steps[-1]),
        numbers={"spread": spread, "mean": level},
        message=f"The output of {layer.name} differs between samples by {spread:.2g} only: whatever goes in, the same "
        "comes out.",
        confidence=0.9,
    )


RULE = Rule(
    code="A406",
    name="constant-output",
    severity=Severity.WARNING,
    what="The network's output does not depend on its input.",
    why="Nothing of the input arrives at the end, so at best the mean answer is learned.",
    recommendation="Look for dead or saturated layers, vanished signals, zero weights, or inputs of a wild scale.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={"spread": Limit(1e-3, "a thousandth of the output's level, or of one unit")},
    causes=("F902", "F905", "O210"),
    fixes=(Fix(action="initialize", value="auto", say="Initialize again by the activations."),),
    false_positives=("A target that is constant.",),
    sources=("torchtest and TheDeepChecker: zero-input dependence.",),
    fires_on=(
        lambda: example_run(
            layers=dense_layers((20, 64, 1)),
            objective=regression(),
            loss=flat(1.0),
            layer_metrics={"output_std": [1.0, 1e-6]},
        ),
    ),
    silent_on=(healthy,),
)
