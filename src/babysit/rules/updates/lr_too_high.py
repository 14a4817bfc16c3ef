"""U601: the steps are too long."""

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
    """The median update ratio over the trained weight layers at each sampled step; NaN where there is none."""
    rows = table(run, "update_ratio")
    names = {layer.name for layer in weight_layers(run, trainable=True)} or set(run.layer_metrics.layers)
    keep = [place for place, name in enumerate(run.layer_metrics.layers) if name in names]
    if not len(rows) or not keep:
        return np.full(len(run.layer_metrics.steps), np.nan)
    part = rows[:, keep]
    known = np.isfinite(part).any(axis=1)
    answer = np.full(len(part), np.nan)
    answer[known] = np.nanmedian(part[known], axis=1)
    return answer


def _blew_up(run: Run, level: Levels, growth: float) -> int | None:
    """The step at which the loss left for good: its last crossing of `growth` times the start, or the first NaN."""
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
    step = _blew_up(run, level, limits["growth"])
    if step is None:
        return
    sizes, steps = ratios(run), np.asarray(run.layer_metrics.steps)
    until = sizes[steps <= step]
    until = until[np.isfinite(until)]
    largest = float(until.max()) if until.size else float("nan")
    # Without long steps before it, a NaN comes from somewhere else (a logarithm of zero, bad inputs).
    if largest >= limits["long_step"]:
        word = "NaN" if level.broken_at is not None else level.ended
        yield Evidence(
            first_step=step,
            severity=Severity.ERROR,
            numbers=_numbers(run, largest) | {"start_loss": level.start, "blew_up_at": step},
            message=f"The loss left its start of {level.begun} at step {step} and ended at {word}. Before that, "
            f"single steps changed the weights by up to {100 * largest:.2g} % of their size (0.1 % is usual).",
        )


def _restless(run: Run, level: Levels, limits: Limits) -> Iterator[Evidence]:
    """Steps that stay long while the loss gets nowhere."""
    sizes = ratios(run)
    known = sizes[np.isfinite(sizes)]
    if len(known) < 5:
        return
    typical = float(np.median(known[len(known) // 4 :]))
    opening = float(known[: max(3, len(known) // 5)].max())
    # A shock: the first steps moved the weights by a good part of their size, and what they broke stayed broken.
    shock = opening >= limits["shock"] and is_underperforming(run, below=limits["stuck"])
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    if level.steps < limits["steps"] or is_improving(values, limits["chance"]):
        return
    if (typical >= limits["ratio"] or shock) and is_underperforming(run):
        yield Evidence(
            first_step=0,
            numbers=_numbers(run, max(typical, opening if shock else 0.0)) | {"end_loss": level.end},
            message=f"Each step changes the weights by about {100 * typical:.2g} % of their size (at first up to "
            f"{100 * opening:.2g} %; 0.1 % is usual), and the loss does not fall: it began at {level.begun} and "
            f"ended at {level.ended}. Steps overshoot the minimum.",
            confidence=0.8,
        )


def _broken_update(run: Run) -> Iterator[Evidence]:
    """Weights that one step made NaN or infinite although its gradients were finite."""
    onset = first_nonfinite(run)
    if onset is not None and onset.what == "update":
        yield Evidence(
            layers=onset.layers,
            first_step=onset.step,
            severity=Severity.ERROR,
            numbers={"lr": _lr(run), "broken_at": onset.step},
            message=f"At step {onset.step} loss and gradients were finite, and after it the weights of "
            f"{', '.join(onset.layers[:3])} were NaN, infinite or beyond 1e19: the update itself broke them.",
            recommendation="Lower the learning rate; if that changes nothing, look at the optimizer's epsilon and "
            "precision.",
            confidence=0.8,
        )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Looks for a loss that leaves upwards after long steps, or that stays high while steps stay long."""
    level, objective = levels(run), main_objective(run)
    if level is None or adversarial(run):
        return
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    bounded = objective is None or objective.loss in BOUNDED_LOSSES or bool(len(values) and values.min() >= 0)
    if not bounded and level.broken_at is None:
        return  # a loss without a floor may go where it likes
    found = list(_diverged(run, level, limits)) or list(_broken_update(run))
    yield from found or list(_restless(run, level, limits))


RULE = Rule(
    code="U601",
    name="lr-too-high",
    early=True,
    severity=Severity.WARNING,
    what="The loss diverges, swings or becomes NaN because of the size of the steps.",
    why="A step longer than the valley is wide lands higher than it began; the next is longer still.",
    recommendation="Divide the learning rate by 10, until the update ratio is near 1e-3.",
    find=find,
    needs=("curves", "layer_metrics"),
    limits={
        "growth": Limit(3.0, "three times the first loss (CS231n lecture 6 aborts a search there)"),
        "long_step": Limit(0.03, "thirty times the usual update ratio of 1e-3 (CS231n lecture 6)"),
        "ratio": Limit(0.03, "the same, as the median over the run"),
        "shock": Limit(0.3, "a third of a weight's size in one step"),
        "chance": Limit(
            0.01, "Mann-Kendall on the whole and on the second half: a loss that falls is not leaping over its valley"
        ),
        "steps": Limit(50, "fewer steps tell a plateau of the start (attention that is still even) from no valley"),
        "stuck": Limit(0.1, "less than a tenth of the prior loss removed: what the shock broke stayed broken"),
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
        "With batch normalization large steps may be right: silent while training goes well.",
        "Adversarial losses are not judged.",
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
