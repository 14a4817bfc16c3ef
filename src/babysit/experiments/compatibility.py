"""Compatibility of model and samples: forward pass and output shape."""

from __future__ import annotations

from torch import nn

from babysit.data.samples import Samples
from babysit.experiments.isolation import isolated
from babysit.experiments.replica import device_of
from babysit.nn.factory import check_output
from babysit.records.errors import UserError


def check_compatible(model: nn.Module, samples: Samples) -> None:
    """Raise UserError when the forward pass fails on two samples, or the output has the wrong shape for the task."""
    if len(samples) == 0:
        raise UserError("there are no samples to train on", where=samples.source)
    broken = [
        name for name, value in model.state_dict().items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise UserError(
            f"the weights hold NaN or infinite values before any training: {', '.join(broken[:3])}"
            + (f" and {len(broken) - 3} more" if len(broken) > 3 else ""),
            do="Check how they are initialized, or the checkpoint they were loaded from",
        )
    few = samples.take(range(min(2, len(samples))))
    with isolated(model):
        check_output(model, few.x.to(device_of(model)), samples.outputs)
