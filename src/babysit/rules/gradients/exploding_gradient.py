"""G502: the gradient norm is huge or growing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import table
from babysit.analysis.learning import broken, is_underperforming
from babysit.analysis.loss_curve import levels
from babysit.analysis.model_structure import adversarial, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import diverging, example_run, healthy
from babysit.rules.rule import Limit, Limits, Rule


def _totals(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the sampled steps and the root of the summed squares of `gradient_rms` over the weight layers."""
    rows = table(run, "gradient_rms")
    names = {layer.name for layer in weight_layers(run)}
    keep = [place for place, name in enumerate(run.layer_metrics.layers) if name in names]
    if not len(rows) or not keep:
        return np.zeros(0), np.zeros(0)
    with np.errstate(all="ignore"):
        return np.asarray(run.layer_metrics.steps), np.sqrt(np.nansum(rows[:, keep].clip(max=1e30) ** 2, axis=1))


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the largest gradient with the first ones; requires that the loss got worse."""
    steps, totals = _totals(run)
    level = levels(run)
    if len(totals) < 3 or level is None or adversarial(run):
        return
    # Gradients after the first NaN loss are its consequence.
    before = steps < level.broken_at if level.broken_at is not None else np.ones(len(steps), dtype=bool)
    steps, totals = steps[before], totals[before]
    if len(totals) < 3:
        return
    base = float(np.median(totals[:3]))
    peak = int(np.argmax(totals))
    worse = broken(run) or (is_underperforming(run) and level.end > level.start)
    consequence = (
        f"the loss became NaN or infinite at step {level.broken_at}"
        if broken(run)
        else (f"the loss went from {level.begun} to {level.ended}")
    )
    if base > 0 and totals[peak] > limits["growth"] * base and worse:
        first = int(steps[np.flatnonzero(totals > limits["growth"] * base)[0]])
        yield Evidence(
            first_step=first,
            last_step=int(steps[peak]),
            numbers={"first": base, "largest": float(totals[peak]), "growth": float(totals[peak] / base)},
            message=f"The gradient norm grew by a factor of {totals[peak] / base:.2g}, from {base:.2g} to "
            f"{totals[peak]:.2g} at step {int(steps[peak])}, and {consequence}.",
        )


RULE = Rule(
    code="G502",
    name="exploding-gradient",
    severity=Severity.WARNING,
    what="The gradient norm is huge or growing.",
    why="One update along a huge gradient destroys what was learned.",
    recommendation="Divide the learning rate by 10; clip the gradient norm to about its typical value.",
    find=find,
    needs=("model_summary", "curves", "layer_metrics"),
    limits={"growth": Limit(70.0, "AutoTrainer (ICSE 2021) uses 70 between two of its checks")},
    causes=("F906", "F909", "G503"),
    fixes=(
        Fix(
            action="clip_gradients",
            value=1.0,
            say="Clip the gradient norm.",
            code="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        ),
        Fix(action="scale_lr", value=0.1, say="Divide the learning rate by 10."),
    ),
    false_positives=("Gradients that start near zero: not reported unless the loss gets worse.",),
    sources=("Pascanu et al. 2013 (arXiv 1211.5063).",),
    fires_on=(
        lambda: example_run(loss=diverging(2.3), layer_metrics={"gradient_rms": np.logspace(-2, 6, 39)[:, None]}),
    ),
    silent_on=(healthy, lambda: example_run(layer_metrics={"gradient_rms": np.logspace(-4, 1, 39)[:, None]})),
)
