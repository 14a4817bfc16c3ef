"""G503: NaN or infinity in gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import table
from babysit.analysis.learning import broken
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import diverging, example_run, healthy
from babysit.rules.rule import Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Finds the first sampled step with values that are no numbers, and the layer where they began."""
    rows = table(run, "nonfinite")
    # A loss scaler meets infinite gradients now and then by design; then the loss stays finite.
    if not len(rows) or not broken(run):
        return
    bad = np.nan_to_num(rows) > 0
    if bad.any():
        at = int(np.flatnonzero(bad.any(axis=1))[0])
        layers = tuple(name for name, hit in zip(run.vitals.layers, bad[at], strict=True) if hit)
        step = int(run.vitals.steps[at])
        yield Evidence(
            layers=layers,
            first_step=step,
            numbers={"layers": len(layers), "values": float(np.nansum(rows[at]))},
            meaning=f"At step {step} values in {', '.join(layers[:3])} are NaN or infinite, and from there on no "
            "weight can be trusted.",
        )


RULE = Rule(
    code="G503",
    name="nonfinite-gradient",
    early=True,
    severity=Severity.ERROR,
    what="NaN or infinite values in outputs, gradients or weights.",
    why="One NaN reaches every weight with the next step and never leaves.",
    advice="Go back to the last good state; divide the learning rate by 10; guard log and division against zero.",
    find=find,
    needs=("curves", "vitals"),
    leads_to=("F906",),
    treatments=(
        Treatment(action="scale_rate", value=0.1, say="Divide the learning rate by 10."),
        Treatment(action="guard", say="Guard logarithms and divisions.", code="torch.log(p.clamp_min(1e-8))"),
    ),
    false_positives=("Skipped steps of a loss scaler are not reported while the loss stays finite.",),
    sources=("CS231n lecture 6: a cost of NaN almost always means too high a learning rate.",),
    fires_on=(
        lambda: example_run(loss=diverging(2.3), vitals={"nonfinite": np.r_[np.zeros(25), np.ones(14)][:, None]}),
    ),
    silent_on=(healthy, lambda: example_run(vitals={"nonfinite": np.r_[1, np.zeros(38)][:, None]})),
)
