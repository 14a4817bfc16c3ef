"""U601: the learning rate is too high."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import table
from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import Levels, is_improving, levels, values_of
from babysit.analysis.model_structure import (
    BOUNDED_LOSSES,
    adversarial,
    known_settings,
    main_objective,
    model_summary_of,
    weight_layers,
)
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import diverging, example_run, flat, healthy
from babysit.rules.onset import first_nonfinite
from babysit.rules.rule import Limit, Limits, Rule


def ratios(run: Run) -> np.ndarray:
    """Return the median update ratio over the trained weight layers at each sampled step; NaN if unknown."""
    rows = table(run, "update_ratio")
    names = {layer.name for layer in weight_layers(run, trainable=True)} or set(run.layer_metrics.layers)
    keep = [index for index, name in enumerate(run.layer_metrics.layers) if name in names]
    if not len(rows) or not keep:
        return np.full(len(run.layer_metrics.steps), np.nan)
    part = rows[:, keep]
    known = np.isfinite(part).any(axis=1)
    medians = np.full(len(part), np.nan)
    medians[known] = np.nanmedian(part[known], axis=1)
    return medians


def _diverged_at(run: Run, level: Levels, growth: float) -> int | None:
    """Return the step at which the loss diverged: its last crossing of `growth` times the start, or the first NaN."""
    series = run.curves.get(TRAIN_LOSS)
    raw = np.asarray(series.values, dtype=np.float64)
    above = ~(np.abs(raw) <= growth * max(abs(level.start), 1e-12))
    if not above[-max(1, len(raw) // 20) :].all():
        return None
    below = np.flatnonzero(~above)
    return int(series.steps[int(below[-1]) + 1 if below.size else 0])


def _lr(run: Run) -> float:
    return max(known_settings(model_summary_of(run).optimizers, "lr"), default=float("nan"))


def _numbers(run: Run, ratio: float) -> dict[str, float | int | str | bool]:
    return {"lr": _lr(run), "update_ratio": ratio}


def _diverged(run: Run, level: Levels, limits: Limits) -> Iterator[Evidence]:
    step = _diverged_at(run, level, limits["growth"])
    if step is None:
        return
    sizes, steps = ratios(run), np.asarray(run.layer_metrics.steps)
    until = sizes[steps <= step]
    until = until[np.isfinite(until)]
    largest = float(until.max()) if until.size else float("nan")
    # Without large updates before it, a NaN has another cause (a logarithm of zero, bad inputs).
    if largest >= limits["long_step"]:
        word = "NaN" if level.broken_at is not None else level.ended
        yield Evidence(
            first_step=step,
            severity=Severity.ERROR,
            numbers=_numbers(run, largest) | {"start_loss": level.start, "blew_up_at": step},
            message=f"The loss diverged from {level.begun} at step {step} and ended at {word}. Before that, the "
            f"update ratio was up to {100 * largest:.2g} % per step (typical: 0.1 %).",
        )


def _overshooting(run: Run, level: Levels, limits: Limits) -> Iterator[Evidence]:
    """Look for large updates while the loss does not decrease."""
    sizes = ratios(run)
    known = sizes[np.isfinite(sizes)]
    if len(known) < 5:
        return
    typical = float(np.median(known[len(known) // 4 :]))
    opening = float(known[: max(3, len(known) // 5)].max())
    # A shock: the first updates changed the weights by a large part of their size, and training never recovered.
    shock = opening >= limits["shock"] and is_underperforming(run, below=limits["stuck"])
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    if level.steps < limits["steps"] or is_improving(values, limits["chance"]):
        return
    if (typical >= limits["ratio"] or shock) and is_underperforming(run):
        yield Evidence(
            first_step=0,
            numbers=_numbers(run, max(typical, opening if shock else 0.0)) | {"end_loss": level.end},
            message=f"The update ratio is about {100 * typical:.2g} % per step (at first up to {100 * opening:.2g} "
            f"%; typical: 0.1 %), and the loss does not decrease: it went from {level.begun} to {level.ended}. The "
            "updates overshoot the minimum.",
            confidence=0.8,
        )


def _broken_update(run: Run) -> Iterator[Evidence]:
    """Look for an update that made weights NaN or infinite although its gradients were finite."""
    onset = first_nonfinite(run)
    if onset is not None and onset.what == "update":
        yield Evidence(
            layers=onset.layers,
            first_step=onset.step,
            severity=Severity.ERROR,
            numbers={"lr": _lr(run), "broken_at": onset.step},
            message=f"At step {onset.step} loss and gradients were finite, and after it the weights of "
            f"{', '.join(onset.layers[:3])} were NaN, infinite or beyond 1e19: the update caused it.",
            recommendation="Lower the learning rate; if that does not help, check the epsilon and the precision "
            "of the optimizer.",
            confidence=0.8,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a loss that diverges after large updates, or that stays high while updates stay large."""
    level, objective = levels(run), main_objective(run)
    if level is None or adversarial(run):
        return
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    bounded = objective is None or objective.loss in BOUNDED_LOSSES or bool(len(values) and values.min() >= 0)
    if not bounded and level.broken_at is None:
        return  # a loss without a lower bound may have any value
    found = list(_diverged(run, level, limits)) or list(_broken_update(run))
    yield from found or list(_overshooting(run, level, limits))


RULE = Rule(
    code="U601",
    name="lr-too-high",
    early=True,
    severity=Severity.WARNING,
    what="The loss diverges, oscillates or becomes NaN because the updates are too large.",
    why="An update that overshoots the minimum by too much increases the loss, and the next gradient is larger still.",
    recommendation="Divide the learning rate by 10, until the update ratio is near 1e-3.",
    find=find,
    needs=("curves", "layer_metrics"),
    limits={
        "growth": Limit(3.0, "three times the initial loss (CS231n lecture 6 aborts a trial there)"),
        "long_step": Limit(0.03, "thirty times the typical update ratio of 1e-3 (CS231n lecture 6)"),
        "ratio": Limit(0.03, "the same, as the median over the run"),
        "shock": Limit(0.3, "an update of a third of the size of the weights"),
        "chance": Limit(
            0.01, "Mann-Kendall on the full curve and its second half: a decreasing loss does not overshoot"
        ),
        "steps": Limit(50, "shorter runs may still be on an initial plateau (such as uniform attention)"),
        "stuck": Limit(0.1, "less than a tenth of the baseline loss removed: training never recovered"),
    },
    causes=(*BLOWING_UP, *LOST_UNITS, *NOT_LEARNING, "G501", "G505", "N805"),
    fixes=(
        Fix(
            action="scale_lr",
            value=0.1,
            say="Divide the learning rate by 10.",
            code='for group in optimizer.param_groups:\n    group["lr"] /= 10',
        ),
        Fix(
            action="clip_gradients",
            value=1.0,
            say="Clip the gradient norm.",
            code="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        ),
    ),
    false_positives=(
        "With batch normalization large updates may be right: not reported if the training learns.",
        "Adversarial losses are not checked.",
    ),
    sources=("CS231n lecture 6: NaN almost always means a learning rate too high; update ratio about 1e-3.",),
    fires_on=(
        lambda: example_run(loss=diverging(2.3), layer_metrics={"update_ratio": 0.5}),
        lambda: example_run(loss=flat(2.3, noise=0.3), layer_metrics={"update_ratio": 0.2}),
        lambda: example_run(
            loss=np.r_[2.3, np.full(399, np.nan)], layer_metrics={"nonfinite_stage": np.r_[4, np.ones(38)][:, None]}
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(layer_metrics={"update_ratio": 0.05}),
        lambda: example_run(loss=diverging(2.3)),
    ),
)
