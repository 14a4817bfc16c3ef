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

# Message and recommendation by the kind of value that was non-finite first.
TEXTS: Final = {
    "weights": (
        "the weights of {layers} were non-finite before step {step}{since}",
        "Restore the last good checkpoint and check the steps before: lower the learning rate, or clip gradients.",
    ),
    "outputs": (
        "at step {step} the outputs of {layers} were non-finite, while the weights were finite{since}",
        "Check the inputs (NaN, huge values), and divisions, logarithms and exponentials inside the network.",
    ),
    "loss": (
        "at step {step} the loss was non-finite, while weights and sampled outputs were finite{since}",
        "Guard the loss against logarithms of 0 or negative numbers, divisions by 0, and roots of 0.",
    ),
    "gradient": (
        "at step {step} the gradient of {layers} was non-finite, while the loss was finite{since}",
        "Guard functions with an infinite slope (root, norm or power at 0); in half precision use a GradScaler or "
        "bfloat16.",
    ),
}


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Report the first non-finite value of a run; updates are left to the rules of the optimizer."""
    onset = first_nonfinite(run)
    if onset is None or onset.what not in TEXTS:
        return
    template, recommendation = TEXTS[onset.what]
    since = f" (all values were finite at sampled step {onset.finite_until})" if onset.finite_until is not None else ""
    problem = template.format(layers=", ".join(onset.layers[:3]), step=onset.step, since=since)
    yield Evidence(
        layers=onset.layers,
        first_step=onset.step,
        numbers={"first": onset.what, "layers": len(onset.layers)},
        message=f"First non-finite value: {problem}.",
        recommendation=recommendation,
    )


RULE = Rule(
    code="G503",
    name="nonfinite-gradient",
    early=True,
    severity=Severity.ERROR,
    what="NaN or infinite values in weights, outputs, loss or gradients, reported where they occur first.",
    why="One NaN spreads to every weight with the next update, permanently.",
    recommendation="Restore the last good checkpoint; divide the learning rate by 10; guard logarithms and "
    "divisions against zero.",
    find=find,
    needs=("curves", "layer_metrics"),
    causes=("F906",),
    fixes=(
        Fix(action="scale_lr", value=0.1, say="Divide the learning rate by 10."),
        Fix(action="guard", say="Guard logarithms and divisions.", code="torch.log(p.clamp_min(1e-8))"),
    ),
    false_positives=(
        "Skipped steps of a loss scaler are not reported while the loss stays finite.",
        "Weights made NaN by the optimizer step: see unsuitable-optimizer and lr-too-high.",
    ),
    sources=("CS231n lecture 6: a loss of NaN almost always means too high a learning rate.",),
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
