"""D112: an axis in the wrong place."""

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
    """A layer that wants time first and is given the batch first."""
    shape = layer.input_shape
    return layer.batch_axis == 1 and len(shape) == 3 and batch > 1 and shape[0] == batch != shape[1]


def _channels_last(layer: Layer) -> bool:
    """A convolution whose channels are as many as image rows, and whose columns as few as colours."""
    shape = layer.input_shape
    if not layer.kind.startswith("Conv2d") or len(shape) != 4:
        return False
    return shape[3] in IMAGE_CHANNELS and shape[1] >= 8 and shape[2] >= 8


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares the shape that each layer got with the order of axes that it wants."""
    model_summary = model_summary_of(run)
    targets = [one.target.shape for one in model_summary.objectives if one.target.shape]
    # What the targets are counted by is the batch; the input's own first axis may be time.
    batch = targets[0][0] if targets else model_summary.batch_size
    layers = sorted(model_summary.layers, key=lambda layer: layer.order)
    for layer in layers:
        if _batch_second(layer, batch):
            said = (
                f"{layer.name} ({layer.kind}) takes the second axis for the batch and got shape {layer.input_shape} "
                f"with {batch} samples on the first: it reads samples as if they were moments "
                "of a sequence."
            )
            yield Evidence(
                layers=(layer.name,),
                first_step=0,
                message=said,
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
            f"{layer.input_shape[3]} columns look like rows and colours of an image with channels last.",
        )


RULE = Rule(
    code="D112",
    name="wrong-layout",
    severity=Severity.WARNING,
    what="Channel, batch or time axis is in the wrong place.",
    why="The layer mixes what does not belong together: samples with each other, or rows with colours.",
    recommendation="Use batch_first=True for recurrent and attention layers; permute images to (N, C, H, W).",
    find=find,
    needs=("model_summary",),
    limits={
        "perfect": Limit(0.95, "shapes are no matter of degree: only a task that is solved all the same is excused"),
        "learned": Limit(0.8, "a convolution over swapped axes learns something, never all"),
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
