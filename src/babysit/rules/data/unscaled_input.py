"""D101: inputs of a wild scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import POOR_SKILL, is_underperforming
from babysit.analysis.model_structure import feeds_ids, model_summary_of
from babysit.records.dataprofile import SplitProfile
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy, profile
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.updates.lr_too_high import ratios


def fed(run: Run) -> SplitProfile | None:
    """The profile of what the network was fed: the watched batches, else the training split if nothing rescales it."""
    if run.data is None or feeds_ids(run):
        return None
    batch = run.data.split("batch")
    if batch is not None:
        return batch
    return None if run.data.preprocessing else run.data.split("train")


def normalizes_first(run: Run) -> bool:
    """Whether the first layer is a normalization, so that the scale of the inputs does not matter."""
    layers = model_summary_of(run).layers
    return bool(layers) and min(layers, key=lambda one: one.order).norm


def scales(split: SplitProfile) -> tuple[float, float]:
    """(root mean square of all inputs, largest over smallest feature deviation; constants left out)."""
    stds = np.asarray(split.feature_std, dtype=np.float64)
    stds = stds[np.isfinite(stds) & (stds > 0)]
    # The 95th over the 5th percentile: a single odd column of many is not a difference of scale.
    spread = float(np.percentile(stds, 95) / np.percentile(stds, 5)) if len(stds) > 1 else 1.0
    return float(np.hypot(split.mean, split.std)), spread


def magnitude(ratio: float) -> float:
    """How sure to be that a scale does harm: 0.6 at the limit, 1 from ten thousand times it."""
    return float(np.clip(0.6 + 0.1 * np.log10(max(ratio, 1.0)), 0.0, 1.0))


def _too_far_anyway(run: Run, size: float, limits: Limits) -> bool:
    """Whether even inputs of unit scale, with smaller gradients, would be stepped too far: then it is the learning
    rate.
    """
    sizes = ratios(run)
    opening = sizes[np.isfinite(sizes)][:3]
    return bool(len(opening)) and float(opening.max()) > limits["leap"] * max(size, 1.0)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the size of the inputs as a whole and feature by feature; an alarm when training is poor."""
    split = fed(run)
    if split is None or not split.std > 0 or normalizes_first(run):
        return
    size, spread = scales(split)
    large, small = size > limits["large"], size < limits["small"]
    uneven = spread > limits["uneven"] and size > limits["uneven_size"]
    if not (large or small or uneven):
        return
    seen = f"Inputs run from {split.low:.3g} to {split.high:.3g} (root mean square {size:.3g}; about 1 is wanted)"
    unlike = f"; feature deviations differ {spread:.2g}-fold" if uneven else ""
    yield Evidence(
        first_step=0,
        severity=Severity.WARNING
        if is_underperforming(run, below=limits["learned"] if size > limits["wild"] else POOR_SKILL)
        and not _too_far_anyway(run, size, limits)
        else Severity.INFO,
        confidence=magnitude(size / limits["large"]) if large else 0.6,
        numbers={"size": size, "low": split.low, "high": split.high, "feature_ratio": spread},
        message=f"{seen}{unlike}. No single learning rate and no usual initialization fits such inputs.",
    )


RULE = Rule(
    code="D101",
    name="unscaled-input",
    early=True,
    severity=Severity.WARNING,
    what="The scale of the input features is far from one, or differs wildly between features.",
    why="Gradients of the first layer grow with its inputs: large features dictate the step, saturate units or kill "
    "them, and small ones are not learned.",
    recommendation="Standardize with the training set's mean and deviation, and apply the same to validation and test.",
    find=find,
    needs=("model_summary", "data"),
    limits={
        "large": Limit(10.0, "ten times the unit scale for which initializations are made (He, Xavier)"),
        "leap": Limit(1.0, "the whole size of the weights in one step, after allowing for the scale of the inputs"),
        "wild": Limit(30.0, "raw bytes of a photograph lie near 130, of sparse drawings near 80; 0..30 is milder"),
        "learned": Limit(0.8, "with inputs that wild, a fifth of the loss left over is reason enough to scale them"),
        "small": Limit(0.02, "a fiftieth of it; sparse counts and pixels in 0..1 stay above"),
        "uneven": Limit(100.0, "a hundredfold between features: their best learning rates differ ten-thousandfold"),
        "uneven_size": Limit(3.0, "sparse features of unit scale are uneven by nature and harmless"),
    },
    causes=(
        *NOT_LEARNING,
        *BLOWING_UP,
        *LOST_UNITS,
        "D102",
        "G501",
        "G505",
        "I302",
        "I303",
        "I304",
        "I305",
        "I306",
        "O207",
        "U601",
        "U602",
        "U605",
        "A403",
    ),
    fixes=(
        Fix(
            action="standardize_input",
            say="Standardize by the training set.",
            code="mean, std = x_train.mean(0), x_train.std(0)\nx = (x - mean) / (std + 1e-8)",
        ),
    ),
    false_positives=(
        "Counts and raw pixels that are learned anyway: INFO.",
        "Networks that begin with a normalization.",
    ),
    sources=("LeCun et al. 1998, Efficient BackProp, section 4.3.", "CS231n lecture 6: preprocess the data."),
    fires_on=(
        lambda: example_run(loss=flat(2.3), data=profile(low=0, high=255, mean=33, std=78)),
        lambda: example_run(
            loss=flat(2.3), data=profile(low=0, high=1e6, mean=100, std=1e5, feature_std=np.logspace(-1, 5, 20))
        ),
    ),
    silent_on=(healthy, lambda: example_run(loss=flat(2.3), data=profile(low=0, high=1, mean=0.13, std=0.31))),
)
