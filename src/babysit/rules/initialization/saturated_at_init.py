"""I304: sigmoid or tanh units are saturated before training."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.layer_metrics import first, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import SQUASHING, hidden_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the fraction of saturated values of hidden sigmoid and tanh layers at initialization."""
    layers = [layer for layer in hidden_layers(run) if layer.activation in SQUASHING]
    shares = {name: share for name, share in select(layers, first(run, "saturated")).items() if share > limits["share"]}
    if shares:
        name, share = max(shares.items(), key=lambda pair: pair[1])
        yield Evidence(
            layers=tuple(shares),
            first_step=int(run.layer_metrics.steps[0]),
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            numbers={"saturated": share, "layers": len(shares)},
            message=f"Before training, {100 * share:.0f} % of the values of {name} are saturated: the slope of the "
            "activation is below 1 % of its maximum there.",
        )


RULE = Rule(
    code="I304",
    name="saturated-at-init",
    early=True,
    severity=Severity.WARNING,
    what="Most of a sigmoid or tanh layer is saturated before training.",
    why="Saturated units pass almost no gradient, so the layers before them hardly learn.",
    recommendation="Standardize the inputs and use Xavier initialization.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={"share": Limit(0.5, "half of the values; standardized inputs with Xavier initialization give below 5 %")},
    causes=(*NOT_LEARNING, "A402", "A403", "G501", "U602"),
    fixes=(
        Fix(
            action="standardize_input",
            say="Standardize the inputs to mean 0 and standard deviation 1.",
            code="x = (x - x_train.mean(0)) / x_train.std(0)",
        ),
        Fix(action="initialize", value="xavier", say="Use Xavier initialization."),
    ),
    false_positives=("Intentionally binary networks.",),
    sources=("CS231n lecture 6: with large weights almost all tanh units are at -1 or 1.",),
    fires_on=(
        lambda: example_run(
            layers=dense_layers((20, 64, 64, 10), activation="tanh"), loss=flat(2.3), layer_metrics={"saturated": 0.9}
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(layers=dense_layers((20, 64, 10), activation="tanh"), layer_metrics={"saturated": 0.02}),
    ),
)
