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
    """Check the standard deviation of the output over samples at the end of the run."""
    layer = output_layer(run)
    if layer is None or adversarial(run) or not is_underperforming(run):
        return
    # The standard deviation over several outputs includes the differences between them: use that over samples.
    single = bool(layer.weight_shape) and layer.weight_shape[0] == 1
    metric = (
        "sample_std" if last_window(run, "sample_std").get(layer.name) is not None else "output_std" if single else ""
    )
    std = last_window(run, metric).get(layer.name) if metric else None
    level = abs(last_window(run, "activation_mean").get(layer.name, 0.0))
    if std is None or std > limits["spread"] * max(level, 1.0):
        return
    yield Evidence(
        layers=(layer.name,),
        last_step=int(run.layer_metrics.steps[-1]),
        numbers={"spread": std, "mean": level},
        message=f"The output of {layer.name} has a standard deviation of only {std:.2g} over samples: the "
        "prediction is the same for every input.",
        confidence=0.9,
    )


RULE = Rule(
    code="A406",
    name="constant-output",
    severity=Severity.WARNING,
    what="The network's output does not depend on its input.",
    why="No information about the input reaches the output, so at best the mean of the targets is learned.",
    recommendation="Look for dead or saturated layers, vanishing activations, zero weights, or unscaled inputs.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={"spread": Limit(1e-3, "0.001 of the mean output, or of 1")},
    causes=("F902", "F905", "O210"),
    fixes=(Fix(action="initialize", value="auto", say="Reinitialize according to the activations."),),
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
