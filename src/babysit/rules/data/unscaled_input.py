"""D101: unscaled inputs."""

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
    """Return the profile of the inputs fed to the network: the observed batches, else the raw training split."""
    if run.data is None or feeds_ids(run):
        return None
    batch = run.data.split("batch")
    if batch is not None:
        return batch
    return None if run.data.preprocessing else run.data.split("train")


def normalizes_first(run: Run) -> bool:
    """Check whether the first layer is a normalization, so that the scale of the inputs does not matter."""
    layers = model_summary_of(run).layers
    return bool(layers) and min(layers, key=lambda one: one.order).norm


def scales(split: SplitProfile) -> tuple[float, float]:
    """Return (root mean square of all inputs, ratio of the largest to the smallest standard deviation of a feature)."""
    stds = np.asarray(split.feature_std, dtype=np.float64)
    stds = stds[np.isfinite(stds) & (stds > 0)]
    # The 95th over the 5th percentile: a single outlier column is not a difference of scale. Constants are left out.
    ratio = float(np.percentile(stds, 95) / np.percentile(stds, 5)) if len(stds) > 1 else 1.0
    return float(np.hypot(split.mean, split.std)), ratio


def magnitude(ratio: float) -> float:
    """Return the confidence that a scale does harm: 0.6 at the limit, 1 from ten thousand times the limit."""
    return float(np.clip(0.6 + 0.1 * np.log10(max(ratio, 1.0)), 0.0, 1.0))


def _too_far_anyway(run: Run, size: float, limits: Limits) -> bool:
    """Check whether the updates would be too large even with unit-scale inputs: then the learning rate is the cause."""
    sizes = ratios(run)
    opening = sizes[np.isfinite(sizes)][:3]
    return bool(len(opening)) and float(opening.max()) > limits["leap"] * max(size, 1.0)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the scale of the inputs in total and by feature; a problem if the training learns poorly."""
    split = fed(run)
    if split is None or not split.std > 0 or normalizes_first(run):
        return
    size, ratio = scales(split)
    large, small = size > limits["large"], size < limits["small"]
    uneven = ratio > limits["uneven"] and size > limits["uneven_size"]
    if not (large or small or uneven):
        return
    seen = f"The inputs range from {split.low:.3g} to {split.high:.3g} (root mean square {size:.3g}, expected about 1)"
    unlike = f"; the standard deviations of the features differ {ratio:.2g}-fold" if uneven else ""
    yield Evidence(
        first_step=0,
        severity=Severity.WARNING
        if is_underperforming(run, below=limits["learned"] if size > limits["wild"] else POOR_SKILL)
        and not _too_far_anyway(run, size, limits)
        else Severity.INFO,
        confidence=magnitude(size / limits["large"]) if large else 0.6,
        numbers={"size": size, "low": split.low, "high": split.high, "feature_ratio": ratio},
        message=f"{seen}{unlike}. Standard initializations and learning rates assume unit-scale inputs.",
    )


RULE = Rule(
    code="D101",
    name="unscaled-input",
    early=True,
    severity=Severity.WARNING,
    what="The scale of the input features is far from 1, or differs by orders of magnitude between features.",
    why="Gradients of the first layer are proportional to its inputs: large features dominate the update and "
    "saturate or kill units, and small features are not learned.",
    recommendation="Standardize with the mean and standard deviation of the training set; apply the same to "
    "validation and test.",
    find=find,
    needs=("model_summary", "data"),
    limits={
        "large": Limit(10.0, "ten times the unit scale that initializations assume (He, Xavier)"),
        "leap": Limit(1.0, "an update as large as the weights, after dividing by the scale of the inputs"),
        "wild": Limit(30.0, "raw bytes of photographs have about 130, of sparse drawings about 80; 0..30 is milder"),
        "learned": Limit(0.8, "with inputs of such a scale, a fifth of the baseline loss left is reason enough"),
        "small": Limit(0.02, "a fiftieth of unit scale; sparse counts and pixels in 0..1 are above"),
        "uneven": Limit(
            100.0, "a factor of 100 between features: their best learning rates differ by a factor of 10,000"
        ),
        "uneven_size": Limit(3.0, "sparse features of unit scale are naturally uneven and harmless"),
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
            say="Standardize with the statistics of the training set.",
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
