"""D110: validation or test data are scaled differently from the training data."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy, profile
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares mean and deviation of the other splits with the training split's, in training deviations."""
    data = run.data
    train = data.split("train") or data.split("batch") if data else None
    if data is None or train is None or not train.std > 0:
        return
    for split in data.splits:
        if split.split not in ("validation", "test", "evaluation") or split.samples < limits["samples"]:
            continue
        shift = abs(split.mean - train.mean) / train.std
        ratio = max(split.std, 1e-12) / train.std
        if shift > limits["shift"] or not 1 / limits["ratio"] < ratio < limits["ratio"]:
            yield Evidence(
                numbers={"split": split.split, "mean_shift": shift, "std_ratio": ratio},
                meaning=f"The {split.split} inputs have mean {split.mean:.3g} and deviation {split.std:.3g}, the "
                f"training inputs {train.mean:.3g} and {train.std:.3g}: they were not prepared in the same way.",
                confidence=0.8,
            )


RULE = Rule(
    code="D110",
    name="split-mismatch",
    severity=Severity.WARNING,
    what="Validation or test inputs were preprocessed differently from the training inputs.",
    why="The network is asked about numbers that it never saw: the score says nothing about what was learned.",
    advice="Compute mean and deviation on the training set only, and apply the same numbers to every split.",
    find=find,
    needs=("data",),
    limits={
        "shift": Limit(0.5, "half a training deviation between means over all values"),
        "ratio": Limit(2.0, "twice or half the deviation"),
        "samples": Limit(30, "means of fewer samples wander"),
    },
    leads_to=("F901",),
    treatments=(
        Treatment(
            action="standardize_input",
            say="Use the training statistics everywhere.",
            code="x_test = (x_test - x_train.mean(0)) / x_train.std(0)",
        ),
    ),
    false_positives=("A test set that is meant to come from elsewhere.",),
    sources=("CS231n lecture 6: statistics come from the training data and are applied to all.",),
    fires_on=(
        lambda: example_run(
            data=DataProfile(
                splits=(
                    SplitProfile(split="train", samples=1000, mean=0.0, std=1.0),
                    SplitProfile(split="test", samples=200, mean=33.0, std=78.0),
                )
            )
        ),
    ),
    silent_on=(healthy, lambda: example_run(data=profile())),
)
