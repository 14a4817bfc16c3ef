"""G503: NaN or infinity in gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import diverging, example_run, healthy
from babysit.rules.onset import first_nonfinite
from babysit.rules.rule import Limits, Rule

# What each stage says, and what to do about it.
SAID: Final = {
    "weights": (
        "the weights of {layers} were already lost when step {step} began{since}",
        "Go back to the last good state, and look at the steps before: lower the learning rate, or clip gradients.",
    ),
    "outputs": (
        "at step {step} the weights were finite and the outputs of {layers} were not{since}",
        "Look at what is fed (NaN, huge values) and at divisions, logarithms and exponentials inside the network.",
    ),
    "loss": (
        "at step {step} the loss was NaN or infinite while weights and sampled outputs were finite{since}",
        "Guard the loss: no logarithm of 0 or of negative numbers, no division by 0, no root of 0.",
    ),
    "gradient": (
        "at step {step} the loss was finite and the gradient of {layers} was not{since}",
        "Guard what has no finite slope (root, norm or power at 0); in half precision use a GradScaler or bfloat16.",
    ),
}


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Names the first value that was not finite, in the order of a step; a broken update is the optimizer's."""
    onset = first_nonfinite(run)
    if onset is None or onset.what not in SAID:
        return
    words, recommendation = SAID[onset.what]
    since = f" (all was finite at sampled step {onset.finite_until})" if onset.finite_until is not None else ""
    said = words.format(layers=", ".join(onset.layers[:3]), step=onset.step, since=since)
    yield Evidence(
        layers=onset.layers,
        first_step=onset.step,
        numbers={"first": onset.what, "layers": len(onset.layers)},
        message=f"The first value that was not finite: {said}.",
        recommendation=recommendation,
    )


RULE = Rule(
    code="G503",
    name="nonfinite-gradient",
    early=True,
    severity=Severity.ERROR,
    what="NaN or infinite values in weights, outputs, loss or gradients, where they came from first.",
    why="One NaN reaches every weight with the next step and never leaves.",
    recommendation="Go back to the last good state; divide the learning rate by 10; guard log and division against "
    "zero.",
    find=find,
    needs=("curves", "layer_metrics"),
    causes=("F906",),
    fixes=(
        Fix(action="scale_lr", value=0.1, say="Divide the learning rate by 10."),
        Fix(action="guard", say="Guard logarithms and divisions.", code="torch.log(p.clamp_min(1e-8))"),
    ),
    false_positives=(
        "Skipped steps of a loss scaler are not reported while the loss stays finite.",
        "Weights that only the optimizer's own step made NaN: see unsuitable-optimizer and lr-too-high.",
    ),
    sources=("CS231n lecture 6: a cost of NaN almost always means too high a learning rate.",),
    fires_on=(
        lambda: example_run(
            loss=diverging(2.3), layer_metrics={"nonfinite_stage": np.r_[np.zeros(24), np.full(15, 3.0)][:, None]}
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(layer_metrics={"nonfinite_stage": np.r_[3, np.zeros(38)][:, None]}),
        lambda: example_run(
            loss=np.r_[2.3, np.full(399, np.nan)],
            layer_metrics={"nonfinite_stage": np.r_[4, np.ones(38)][:, None]},
        ),
    ),
)
