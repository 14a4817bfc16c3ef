"""O202: softmax over one value, or over the batch instead of the classes."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.model_structure import drop_shape_ops, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer, Objective, Op
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import BATCH, classes, dense_layers, example_run, flat, healthy, regression
from babysit.rules.rule import Limits, Rule

SOFTMAXES = ("softmax", "log_softmax", "softmin")
# Operations that make a softmax internal (attention); logarithms and arithmetic of a hand-written loss do not.
MIXING = {"matmul", "bmm", "mm", "einsum", "baddbmm", "addmm", "linear", "scaled_dot_product_attention"}


def _output_softmaxes(objective: Objective) -> list[Op]:
    output_ops = drop_shape_ops(objective.output_ops)
    return [
        operation
        for place, operation in enumerate(output_ops)
        if operation.name in SOFTMAXES and not any(later.name in MIXING for later in output_ops[place + 1 :])
    ]


def _over_the_batch(operation: Op, objective: Objective) -> bool:
    shape = objective.prediction.shape
    first_axis = operation.dim is not None and operation.dim in (0, -len(shape))
    return first_axis and len(shape) == 2 and shape[1] > 1 and operation.size == shape[0]


def _wrong(objective: Objective) -> str:
    for operation in _output_softmaxes(objective):
        if operation.size == 1:
            return f"{operation.name} runs over an axis of size 1, so its output is 1 for every input"
        if _over_the_batch(operation, objective):
            size = objective.prediction.shape[0]
            return f"{operation.name} runs over the {size} samples of the batch, not over the classes of each sample"
        # With classes flattened before the loss, the size of the softmax must be the number of classes.
        plain = drop_shape_ops(objective.output_ops)[-1] is operation
        if plain and objective.loss == "nll_loss" and operation.size not in (None, objective.outputs):
            return (
                f"{operation.name} runs over {operation.size} values, but the loss has {objective.outputs} "
                "classes: it runs over another axis than the classes"
            )
    if objective.loss == "cross_entropy" and objective.outputs == 1:
        return "cross_entropy over a single output is constant for every prediction"
    return ""


def _mixes_samples(layer: Layer, run: Run) -> bool:
    """Check whether a softmax inside the network runs over the batch axis of the layer before it and of the targets."""
    if len(layer.output_shape) != 2 or layer.batch_axis != 0:
        return False
    samples, values = layer.output_shape
    aligned = [one for one in model_summary_of(run).objectives if one.target.shape[:1] == (samples,)]
    return bool(aligned) and 1 < values != samples == layer.softmax_size > 1


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a softmax over an axis of size 1 or over the batch."""
    for number, objective in enumerate(model_summary_of(run).objectives):
        seen = _wrong(objective)
        if seen:
            shape = "x".join(map(str, objective.prediction.shape))
            yield Evidence(
                first_step=0,
                numbers={"objective": number, "outputs": objective.outputs, "prediction_shape": shape},
                message=f"{seen[0].upper()}{seen[1:]}.",
            )
            return
    mixing = [layer for layer in model_summary_of(run).layers if layer.trainable and _mixes_samples(layer, run)]
    if mixing:
        samples, values = mixing[0].output_shape
        yield Evidence(
            layers=tuple(layer.name for layer in mixing),
            first_step=0,
            confidence=0.9,
            numbers={"samples": samples, "values": values},
            message=f"The softmax after {mixing[0].name} runs over the {samples} samples of the batch, not over "
            f"the {values} values of each: samples compete with each other.",
        )
        return
    inner = [layer for layer in model_summary_of(run).layers if layer.softmax_size == 1 and layer.trainable]
    if inner:
        names = ", ".join(layer.name for layer in inner)
        yield Evidence(
            layers=tuple(layer.name for layer in inner),
            first_step=0,
            numbers={"layers": len(inner)},
            message=f"The softmax after {names} runs over a single value: its output is 1 for every input, and its "
            "gradient is 0. It was probably meant for another axis.",
        )


RULE = Rule(
    code="O202",
    name="single-unit-softmax",
    early=True,
    severity=Severity.ERROR,
    what="Softmax over an axis of size one, or over the batch axis.",
    why="The softmax of one number is 1: the output is constant, every gradient is zero and nothing can be "
    "learned. Over the batch, samples compete with each other instead of classes.",
    recommendation="For one binary output use sigmoid (binary_cross_entropy_with_logits); otherwise softmax over "
    "dim=1.",
    find=find,
    needs=("model_summary",),
    causes=(
        *NOT_LEARNING,
        "A401",
        "A402",
        "A405",
        "F910",
        "G504",
        "G505",
        "O203",
        "O204",
        "O205",
        "O207",
        "O211",
        "U602",
        "U603",
    ),
    fixes=(
        Fix(
            action="set_output_activation",
            value="sigmoid",
            say="Replace the softmax by a sigmoid inside the loss.",
            code="loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, target)",
        ),
        Fix(action="set_softmax_axis", value=1, say="Apply the softmax over the classes.", code="logits.softmax(1)"),
    ),
    false_positives=("Networks that rank the samples of a batch against each other.",),
    sources=("Definition of softmax: exp(x) / sum(exp(x)) over one value is 1.",),
    fires_on=(
        lambda: example_run(
            objective=regression(loss="l1_loss", output_ops=(Op(name="softmax", dim=1, size=1),)), loss=flat(0.5)
        ),
        lambda: example_run(
            objective=classes(loss="nll_loss", output_ops=(Op(name="log_softmax", dim=0, size=64),)), loss=flat(4.1)
        ),
        lambda: example_run(objective=classes(loss="nll_loss", output_ops=(Op(name="log_softmax", dim=1, size=12),))),
        lambda: example_run(layers=dense_layers((20, 1, 10), activation="softmax", softmax_size=1)),
        lambda: example_run(layers=dense_layers((20, 6, 10), activation="softmax", softmax_size=BATCH)),
    ),
    silent_on=(
        healthy,
        lambda: example_run(objective=classes("softmax", loss="mse_loss")),
        lambda: example_run(layers=dense_layers((20, 48, 10), activation="softmax", softmax_size=48)),
    ),
)
