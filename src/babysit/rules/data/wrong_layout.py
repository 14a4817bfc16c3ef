"""D112: axes in the wrong order."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import BATCH, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule

IMAGE_CHANNELS = (1, 3, 4)


def _batch_second(layer: Layer, batch: int) -> bool:
    """Check whether a layer that expects the time axis first gets the batch axis first."""
    shape = layer.input_shape
    return layer.batch_axis == 1 and len(shape) == 3 and batch > 1 and shape[0] == batch != shape[1]


def _channels_last(layer: Layer) -> bool:
    """Check whether the input of a convolution has image rows as channels and colors as columns."""
    shape = layer.input_shape
    if not layer.kind.startswith("Conv2d") or len(shape) != 4:
        return False
    return shape[3] in IMAGE_CHANNELS and shape[1] >= 8 and shape[2] >= 8


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the input shape of each layer with the axis order that it expects."""
    model_summary = model_summary_of(run)
    targets = [one.target.shape for one in model_summary.objectives if one.target.shape]
    # The first axis of the targets is the batch; that of the input may be time.
    batch = targets[0][0] if targets else model_summary.batch_size
    layers = sorted(model_summary.layers, key=lambda layer: layer.order)
    for layer in layers:
        if _batch_second(layer, batch):
            message = (
                f"{layer.name} ({layer.kind}) expects the batch on the second axis and got shape "
                f"{layer.input_shape} with {batch} samples on the first: it treats samples as time steps."
            )
            yield Evidence(
                layers=(layer.name,),
                first_step=0,
                message=message,
                numbers={"batch_size": batch, "shape": str(layer.input_shape)},
                severity=Severity.ERROR if is_underperforming(run, below=limits["perfect"]) else Severity.INFO,
            )
            return
    convolutions = [layer for layer in layers if layer.kind.startswith("Conv2d")]
    if convolutions and _channels_last(convolutions[0]):
        layer = convolutions[0]
        yield Evidence(
            layers=(layer.name,),
            first_step=0,
            severity=Severity.WARNING if is_underperforming(run, below=limits["learned"]) else Severity.INFO,
            numbers={"shape": str(layer.input_shape)},
            message=f"{layer.name} got shape {layer.input_shape}: {layer.input_shape[1]} channels and "
            f"{layer.input_shape[3]} columns look like the rows and colors of an image with channels last.",
        )


RULE = Rule(
    code="D112",
    name="wrong-layout",
    severity=Severity.WARNING,
    what="The channel, batch or time axis is in the wrong position.",
    why="The layer mixes unrelated values: samples with each other, or rows with colors.",
    recommendation="Use batch_first=True for recurrent and attention layers; permute images to (N, C, H, W).",
    find=find,
    needs=("model_summary",),
    limits={
        "perfect": Limit(0.95, "a shape is right or wrong: only a task that is solved anyway is excused"),
        "learned": Limit(0.8, "a convolution over swapped axes learns only part of the task"),
    },
    causes=(*NOT_LEARNING, "F901", "W707"),
    fixes=(
        Fix(action="set_batch_first", value="True", say="Batch first.", code="nn.LSTM(size, hidden, batch_first=True)"),
        Fix(action="permute_input", say="Channels second.", code="x = x.permute(0, 3, 1, 2)"),
    ),
    false_positives=("Very narrow feature maps.",),
    sources=("torch.nn.LSTM, torch.nn.MultiheadAttention: batch_first is False by default.",),
    fires_on=(
        lambda: example_run(
            layers=(Layer(name="rnn", kind="LSTM", order=0, batch_axis=1, input_shape=(BATCH, 12, 8)),), loss=flat(2.3)
        ),
        lambda: example_run(
            layers=(Layer(name="conv", kind="Conv2d", order=0, input_shape=(BATCH, 32, 32, 3)),), loss=flat(2.3)
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(
            layers=(Layer(name="rnn", kind="LSTM", order=0, batch_axis=1, input_shape=(12, BATCH, 8)),)
        ),
    ),
)
