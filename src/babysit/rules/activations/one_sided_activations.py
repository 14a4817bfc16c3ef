"""A403: hidden values of one sign make the weight gradients of a unit share a sign."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import overall, select
from babysit.analysis.model_structure import model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the share of units all of whose weight gradients have one sign, where the inputs have one sign too."""
    # In a batch of a few samples an input has one sign by chance alone.
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
            message=f"{100 * share:.0f} % of the units of {name} get weight gradients of a single sign, since their "
            "inputs all have one: all weights of a unit can only rise or fall together, and the path zig-zags.",
        )


RULE = Rule(
    code="A403",
    name="one-sided-activations",
    severity=Severity.INFO,
    what="Inputs of a layer all of one sign, so that the weight gradients of each unit share a sign.",
    why="Weights that may only move together reach their goal in zig-zags: slower, never impossible.",
    recommendation="Centre the inputs; in hidden layers prefer ReLU or tanh to sigmoid, or normalize.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "share": Limit(0.5, "half of the units; with centred inputs it is 2 to the minus fan-in"),
        "batch": Limit(4, "of three samples all have one sign one time in four"),
        "inputs": Limit(0.9, "nearly every input has a single sign"),
    },
    fixes=(
        Fix(action="replace_activation", value="tanh", say="Use a zero-centred activation.", code="nn.Tanh()"),
        Fix(action="center_input", say="Subtract the mean.", code="x = x - x_train.mean(0)"),
    ),
    false_positives=("Adam hides most of the cost.",),
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
