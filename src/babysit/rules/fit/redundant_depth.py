"""F910: far more layers, or far fewer units, than the task needs."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, hidden_layers, model_summary_of, output_layer, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a bottleneck of one or two units, and for deep networks without normalization, both with harm."""
    if adversarial(run):
        return
    dense = [layer for layer in hidden_layers(run) if layer.kind == "Linear" and layer.weight_shape[0] > 0]
    last = output_layer(run)
    narrow = [layer for layer in dense if layer.weight_shape[0] <= limits["narrow"] < layer.fan_in]
    needed = last.weight_shape[0] if last is not None and last.weight_shape else 1
    if narrow and is_underperforming(run):
        layer = narrow[0]
        yield Evidence(
            layers=tuple(one.name for one in narrow),
            first_step=0,
            confidence=0.5,
            severity=Severity.WARNING
            if layer.weight_shape[0] == 1 or needed > layer.weight_shape[0]
            else Severity.INFO,
            numbers={"units": layer.weight_shape[0], "fan_in": layer.fan_in, "outputs": needed},
            message=f"{layer.name} is a bottleneck: all information passes through its {layer.weight_shape[0]} "
            "unit(s).",
            recommendation="Give every hidden layer at least 16 units.",
        )
        return
    plain = weight_layers(run)
    if (
        len(plain) >= limits["deep"]
        and not any(layer.norm for layer in model_summary_of(run).layers)
        and is_underperforming(run)
    ):
        yield Evidence(
            layers=tuple(layer.name for layer in plain),
            severity=Severity.INFO,
            numbers={"layers": len(plain)},
            message=f"{len(plain)} weight layers without normalization; begin with fewer.",
            recommendation="Begin with two or three hidden layers and add more while results improve.",
        )


RULE = Rule(
    code="F910",
    name="redundant-depth",
    severity=Severity.WARNING,
    what="Depth or width far above or below what the task needs.",
    why="A bottleneck of one unit passes a single number; a deep network without normalization or skips is hard "
    "to train.",
    recommendation="Begin with two or three hidden layers of 16 to 128 units.",
    find=find,
    needs=("model_summary", "curves"),
    limits={
        "narrow": Limit(2, "one or two units that get more inputs"),
        "deep": Limit(8, "networks of more than eight layers need normalization or skip connections (He et al. 2016)"),
    },
    causes=(*NOT_LEARNING, "N805"),
    fixes=(Fix(action="scale_width", value=16.0, say="Widen the narrow layer.", code="nn.Linear(inputs, 64)"),),
    false_positives=("Autoencoders with a tiny code: not reported if the training learns.",),
    sources=("He et al. 2016 (arXiv 1512.03385): deep networks without skip connections degrade.",),
    fires_on=(lambda: example_run(layers=dense_layers((20, 1, 10)), loss=flat(2.2)),),
    silent_on=(
        healthy,
        lambda: example_run(layers=dense_layers((20, 1, 10))),
        lambda: example_run(layers=dense_layers((20, 1), is_output=False), objective=None, loss=flat(0.5)),
    ),
)
