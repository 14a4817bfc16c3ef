"""A403: inputs of one sign give all weight gradients of a unit the same sign."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import overall, select
from babysit.analysis.model_structure import model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the fraction of units whose weight gradients all have one sign, where the inputs have one sign too."""
    # In a batch of a few samples an input has one sign by chance.
    few = 0 < model_summary_of(run).batch_size < limits["batch"]
    layers = [layer for layer in weight_layers(run, trainable=True) if layer.fan_in > 1 and not few]
    signed, inputs = select(layers, overall(run, "one_signed")), select(layers, overall(run, "input_one_sided"))
    shares = {
        name: share
        for name, share in signed.items()
        if share > limits["share"] and inputs.get(name, 0.0) > limits["inputs"]
    }
    if shares:
        name, share = max(shares.items(), key=lambda pair: pair[1])
        yield Evidence(
            layers=tuple(shares),
            numbers={"one_signed": share, "inputs_one_sided": inputs[name]},
            message=f"{100 * share:.0f} % of the units of {name} have weight gradients of a single sign, because "
            "their inputs do: gradient directions oscillate (zig-zag).",
        )


RULE = Rule(
    code="A403",
    name="one-sided-activations",
    severity=Severity.INFO,
    what="The inputs of a layer all have one sign, and so do the weight gradients of each unit.",
    why="The weights of a unit can only increase or decrease together, so the optimizer zig-zags and converges "
    "more slowly.",
    recommendation="Center the inputs; in hidden layers use ReLU or tanh instead of sigmoid, or add normalization.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "share": Limit(0.5, "half of the units; with centered inputs the fraction is 2 to the power of minus fan-in"),
        "batch": Limit(4, "three samples have the same sign with probability 1/4"),
        "inputs": Limit(0.9, "nearly all inputs have a single sign"),
    },
    fixes=(
        Fix(action="replace_activation", value="tanh", say="Use a zero-centred activation.", code="nn.Tanh()"),
        Fix(action="center_input", say="Subtract the mean.", code="x = x - x_train.mean(0)"),
    ),
    false_positives=("Under Adam the effect is small.",),
    sources=(
        "CS231n lecture 6: inputs that are always positive give gradients that are all positive or all negative.",
        "LeCun et al. 1998, Efficient BackProp, section 4.3.",
    ),
    fires_on=(
        lambda: example_run(
            layers=dense_layers((20, 64, 64, 10), activation="sigmoid"),
            layer_metrics={"one_signed": 0.95, "input_one_sided": 1.0},
        ),
    ),
    silent_on=(healthy,),
)
