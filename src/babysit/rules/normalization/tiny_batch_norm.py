"""N803: batch norm over too few values."""

from __future__ import annotations

import math
from collections.abc import Iterator

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import is_batch_norm, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def values_per_channel(layer: Layer) -> int:
    """Return the number of values per channel that a batch norm averages: samples times positions."""
    shape = layer.input_shape
    return shape[0] * math.prod(shape[2:]) if len(shape) > 1 else 0


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for batch norms that average over a handful of values."""
    norms = [layer for layer in model_summary_of(run).layers if is_batch_norm(layer) and layer.trainable]
    tiny = [layer for layer in norms if 0 < values_per_channel(layer) < limits["values"]]
    if tiny:
        few = min(values_per_channel(layer) for layer in tiny)
        yield Evidence(
            layers=tuple(layer.name for layer in tiny),
            first_step=0,
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            numbers={"values": few, "batch_size": model_summary_of(run).batch_size},
            message=f"Batch norm computes mean and standard deviation from only {few} values per channel: they are "
            "mostly noise, and differ from the running statistics used in eval mode.",
        )


RULE = Rule(
    code="N803",
    name="tiny-batch-norm",
    severity=Severity.WARNING,
    what="Batch norm is used with too small batches.",
    why="Statistics of a handful of values are noisy, and the noise affects every activation.",
    recommendation="Use batches of 16 or more, or group or layer norm.",
    find=find,
    needs=("model_summary",),
    limits={"values": Limit(8, "Wu & He 2018: the error with batch norm rises steeply below batches of 8 to 16")},
    causes=("N804", "F909", "F902"),
    fixes=(Fix(action="replace_norm", value="group_norm", say="Use group norm.", code="nn.GroupNorm(8, channels)"),),
    false_positives=("Small batches work in some cases: INFO if the training learns.",),
    sources=("Wu & He 2018, Group Normalization (arXiv 1803.08494).",),
    fires_on=(
        lambda: example_run(
            layers=(
                *dense_layers((20, 64, 10)),
                Layer(name="norm", kind="BatchNorm1d", order=1, norm=True, input_shape=(2, 64)),
            ),
            loss=flat(2.3),
        ),
    ),
    silent_on=(healthy,),
)
