"""I306: biases start far from zero."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import first, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import LOST_UNITS
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare initial biases with the standard deviation of the layer's output."""
    layers = [layer for layer in weight_layers(run) if layer.has_bias and not layer.is_output]
    biases, std = select(layers, first(run, "bias_rms")), select(layers, first(run, "output_std"))
    large = {
        name: bias
        for name, bias in biases.items()
        if bias > limits["bias"] and bias > limits["of_spread"] * std.get(name, 0.0)
    }
    if large:
        name, bias = max(large.items(), key=lambda pair: pair[1])
        yield Evidence(
            layers=tuple(large),
            first_step=int(run.layer_metrics.steps[0]),
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            numbers={"bias": bias, "output_spread": std.get(name, 0.0)},
            message=f"The initial biases of {name} have a root mean square of {bias:.3g}, but its output varies "
            f"with the input by only {std.get(name, 0.0):.3g} (standard deviation): the bias dominates.",
        )


RULE = Rule(
    code="I306",
    name="large-bias",
    severity=Severity.WARNING,
    what="Biases start far from zero.",
    why="A large bias dominates the input: units start always active, always inactive, or saturated.",
    recommendation="Initialize biases to 0 (0.01 avoids dead ReLU units).",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "bias": Limit(0.5, "half a unit of standardized signal"),
        "of_spread": Limit(2.0, "twice the standard deviation due to the inputs"),
    },
    causes=(*LOST_UNITS, "A402", "I304", "I305", "O207"),
    fixes=(
        Fix(
            action="initialize",
            target="bias",
            value=0.0,
            say="Initialize the biases to 0.",
            code="nn.init.zeros_(layer.bias)",
        ),
    ),
    false_positives=("Forget gates of recurrent cells intentionally start at 1 and are not checked.",),
    sources=("CS231n lecture 6: biases 0, or 0.01 with ReLU.",),
    fires_on=(lambda: example_run(loss=flat(2.3), layer_metrics={"bias_rms": 5.0}),),
    silent_on=(healthy, lambda: example_run(layer_metrics={"bias_rms": 0.05})),
)
