"""Short texts for measured and expected values of the pre-training checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from babysit.records.experiment import ExperimentResult

Numbers = Mapping[str, float]

TITLES: Final = {
    "sample-isolation": "batch independence",
    "input-dependence": "input sensitivity",
    "determinism": "determinism",
    "train-eval-agreement": "train/eval discrepancy",
    "initial-signal": "signal propagation",
    "symmetric-units": "duplicate units",
    "initial-loss": "initial loss",
    "initial-loss-regularized": "initial loss, regularized",
    "overfit-tiny": "overfit 20 samples",
    "lr-range": "LR range",
    "lr-trials": "LR trials",
    "step-cost": "step time, memory",
}


def measured_and_expected(experiment: ExperimentResult) -> tuple[str, str]:
    """Format both values; empty for a check that could not run."""
    words = _WORDS.get(experiment.name)
    try:
        return words(experiment.measured, experiment.expected) if words else ("", "")
    except KeyError:  # the check ended early, or was recorded by an older version
        return "", ""


def _isolation(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    return "no leakage" if measured["leak"] == 0 else f"leakage {measured['leak']:.2g}", "no leakage"


def _dependence(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    count = int(measured["inputs"])
    return f"{count - int(measured['ignored'])} of {count}", f"{count}"


def _determinism(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    difference = max(measured["gradient"], measured["answer"])
    return "identical" if difference == 0 else f"difference {difference:.2g}", "identical"


def _agreement(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    batches = f" (batches of {measured['batch_size']:.0f})" if measured["norms"] else ""
    return f"{measured['apart']:.2g} std", f"{expected['apart']:.2g} std{batches}"


def _signal(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    if not measured["layers"]:
        return "no hidden layer", ""
    lost = "".join(f", {measured[name]:.0%} {name}" for name in ("saturated", "dead") if measured[name] >= 0.005)
    return f"forward x{measured['spread']:.2g}, backward x{measured['gradient']:.2g}{lost}", "x1, x1"


def _symmetry(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    return f"{measured['equal']:.0%} after {measured['steps']:.0f} steps", "0%"


def _initial_loss(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    loss = expected["loss"]
    text = f"{loss:.3f}"
    classes = round(math.exp(loss)) if loss < math.log(1e4) else 0
    named = classes > 1 and math.isclose(math.log(classes), loss, rel_tol=1e-6)
    return f"{measured['loss']:.3f}", f"ln {classes} = {text}" if named else text


def _regularized(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    return f"{measured['loss']:.3f}", f"{expected['loss']:.3f}"


def _overfit(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    name = "accuracy" if "accuracy" in measured else "r2"
    goal = "loss near 0" + (", accuracy 100%" if name == "accuracy" else "")
    return f"loss {measured['loss']:.3f}, {name} {measured[name]:.0%}", goal


def _lrs(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    return f"{measured['low']:.1e} to {measured['high']:.1e}", f"suggested {measured['suggested']:.1e}"


def _trials(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    return f"{measured['first_loss']:.3g} to {measured['loss']:.3g} at {measured['best']:.0e}", "loss decreases"


def _cost(measured: Numbers, expected: Numbers) -> tuple[str, str]:
    time = f"{measured['step_milliseconds']:.3g} ms, {measured['megabytes']:.3g} MB"
    return time, f"{measured['epoch_seconds']:.2g} s per epoch"


_WORDS: Final[dict[str, Callable[[Numbers, Numbers], tuple[str, str]]]] = {
    "sample-isolation": _isolation,
    "input-dependence": _dependence,
    "determinism": _determinism,
    "train-eval-agreement": _agreement,
    "initial-signal": _signal,
    "symmetric-units": _symmetry,
    "initial-loss": _initial_loss,
    "initial-loss-regularized": _regularized,
    "overfit-tiny": _overfit,
    "lr-range": _lrs,
    "lr-trials": _trials,
    "step-cost": _cost,
}
