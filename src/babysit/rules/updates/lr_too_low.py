"""U602: the learning rate is too low."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import table
from babysit.analysis.learning import explained_share, is_underperforming
from babysit.analysis.loss_curve import levels, share_of_fall, values_of
from babysit.analysis.model_structure import adversarial, known_settings, model_summary_of, weight_layers
from babysit.records.curves import LEARNING_RATE, TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, falling, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def travelled(run: Run) -> tuple[float, float]:
    """Return (upper bound of the total relative change of the weights, typical update ratio).

    Both are those of the fastest layer. The bound is the sum of all updates; a random walk changes the weights less.
    """
    rows, names = table(run, "update_ratio"), {layer.name for layer in weight_layers(run, trainable=True)}
    keep = [place for place, name in enumerate(run.layer_metrics.layers) if name in names or not names]
    known = rows[:, keep] if len(rows) and keep else np.zeros((0, 0))
    known = known[np.isfinite(known).any(axis=1)] if known.size else known
    if not known.size:
        return np.nan, np.nan
    seen = known[:, np.isfinite(known).any(axis=0)]
    typical = float(np.nanmean(seen, axis=0).max())
    return typical * max(run.events.steps, int(run.layer_metrics.steps[-1]) + 1), typical


def _cut_short(run: Run, limits: Limits, cut: float) -> bool:
    """Check whether the loss was still decreasing when the learning rate was first cut, and ended too high."""
    steps, values = values_of(run.curves.get(TRAIN_LOSS))
    known = explained_share(run)
    unfinished = known is None or known < limits["learned"]
    return unfinished and share_of_fall(values[steps <= cut], 0.2) >= limits["straight"]


def _decayed_early(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a learning rate that decayed to almost 0 long before the end."""
    steps, lrs = values_of(run.curves.get(LEARNING_RATE))
    if len(lrs) < limits["looks"] or not lrs.max() > 0:
        return
    highest = int(np.argmax(lrs))
    below = np.flatnonzero(lrs[highest:] < limits["cut"] * lrs.max())
    if not is_underperforming(run) and not (len(below) and _cut_short(run, limits, float(steps[highest + below[0]]))):
        return
    active = np.flatnonzero(lrs > limits["faded"] * lrs.max())
    last, total = float(steps[active[-1]]), max(run.events.steps, int(steps[-1]) + 1)
    if last < limits["early"] * total:
        yield Evidence(
            first_step=int(last),
            last_step=int(steps[-1]),
            numbers={"lr": float(lrs.max()), "last_lr": float(lrs[-1]), "faded_at": int(last), "steps": total},
            message=f"The learning rate decayed from {lrs.max():.3g} to 1 % of it by step {last:.0f} of {total} "
            f"and ended at {lrs[-1]:.2g}: most of the run had no effect.",
            recommendation="Match the schedule to the length of the training: step it once per epoch, or use a "
            "slower decay.",
            confidence=0.85,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check whether the weights could hardly change in the whole run while the loss stayed high."""
    level = levels(run)
    if level is None or level.broken_at is not None or adversarial(run):
        return
    faded = list(_decayed_early(run, limits))
    yield from faded
    path, typical = travelled(run)
    if faded or not is_underperforming(run):
        return
    # A linear decrease means that the loss is far from converged, however large the total change.
    straight = share_of_fall(values_of(run.curves.get(TRAIN_LOSS))[1], 0.2) >= limits["nearly"]
    longest = limits["straight_path"] if straight else limits["path"]
    # Exactly zero is reported by missing-step and unchanged-weights.
    if not np.isfinite(path) or typical == 0 or typical > limits["ratio"] or path > longest:
        return
    lr = max(known_settings(model_summary_of(run).optimizers, "lr"), default=float("nan"))
    yield Evidence(
        first_step=0,
        last_step=int(run.layer_metrics.steps[-1]),
        numbers={"lr": lr, "update_ratio": typical, "path": path, "start_loss": level.start, "end_loss": level.end},
        message=f"The largest update ratio of a layer is {100 * typical:.2g} % per step (typical: 0.1 %), at most "
        f"{100 * path:.2g} % in total; the loss went from {level.begun} to {level.ended}.",
        recommendation="Multiply the learning rate by "
        f"{min(1000, max(10, 10 ** round(np.log10(1e-3 / typical)))):.0f}.",
        confidence=0.85,
    )


RULE = Rule(
    code="U602",
    name="lr-too-low",
    severity=Severity.WARNING,
    what="The loss hardly changes and the update ratio is far below 1e-3.",
    why="The weights stay close to their initial values even in a much longer training.",
    recommendation="Multiply the learning rate by 10 until the update ratio is near 1e-3.",
    find=find,
    needs=("curves", "layer_metrics"),
    limits={
        "looks": Limit(8, "too few values to recognize a schedule"),
        "faded": Limit(0.01, "at 1 % of the highest learning rate the updates are 1 % as large"),
        "early": Limit(0.4, "more than half of the run was left; cosine and linear schedules decay at the end"),
        "ratio": Limit(5e-4, "half of the typical 1e-3 (CS231n lecture 6)"),
        "cut": Limit(0.5, "the first cut of a step schedule; smooth schedules are halfway down"),
        "learned": Limit(0.9, "a tenth of the baseline loss, or of the errors, is left"),
        "straight": Limit(0.2, "that of a straight line: CS231n lecture 6, the shape of a low learning rate"),
        "nearly": Limit(0.12, "more than half of that of a straight line, since batches are noisy"),
        "straight_path": Limit(1.0, "the size of the weights, if all updates have the same direction"),
        "path": Limit(0.5, "half of the size of the weights in the whole run, if all updates have the same direction"),
    },
    causes=(*NOT_LEARNING, "F910"),
    fixes=(
        Fix(
            action="scale_lr",
            value=10.0,
            say="Multiply the learning rate by 10.",
            code="for group in optimizer.param_groups:\n    group['lr'] *= 10",
        ),
    ),
    false_positives=("Fine-tuning needs small updates: not reported if the loss is good.",),
    sources=("CS231n lecture 6: loss 2.303 -> 2.302 with a learning rate of 1e-6; update ratio about 1e-3.",),
    fires_on=(
        lambda: example_run(loss=falling(2.303, 2.28, noise=0.001), layer_metrics={"update_ratio": 1e-5}),
        lambda: example_run(loss=falling(2.303, 2.1), curves={"lr": np.geomspace(1e-3, 1e-30, 400)}),
    ),
    silent_on=(
        lambda: example_run(loss=falling(2.303, 2.1), curves={"lr": 1e-3 * np.cos(np.linspace(0, 1.57, 400)) ** 2}),
        healthy,
        lambda: example_run(loss=flat(2.3)),
        lambda: example_run(layer_metrics={"update_ratio": 1e-5}),
    ),
)
