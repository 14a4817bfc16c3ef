"""D110: validation or test data are scaled differently from the training data."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.records.dataprofile import ArgumentProfile, DataProfile, SplitProfile
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy, profile
from babysit.rules.rule import Limit, Limits, Rule


def _sides(data: DataProfile) -> Iterator[tuple[str, SplitProfile, SplitProfile]]:
    """Yield the pairs to compare: (description, training profile, other profile), both measured at the same point."""
    train = data.split("train")
    for split in data.splits if train is not None else ():
        if train is not None and split.split in ("validation", "test"):
            yield "inputs", train, split
    for one in data.arguments:
        which = f"inputs (argument {one.name})" if len(data.arguments) > 1 else "inputs"
        yield which, one.train, one.evaluation


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare mean and standard deviation of the other splits with those of the training split."""
    for what, train, split in _sides(run.data) if run.data else ():
        if split.samples < limits["samples"] or not train.std > 0:
            continue
        shift = abs(split.mean - train.mean) / train.std
        ratio = max(split.std, 1e-12) / train.std
        if shift > limits["shift"] or not 1 / limits["ratio"] < ratio < limits["ratio"]:
            yield Evidence(
                numbers={"split": split.split, "mean_shift": shift, "std_ratio": ratio},
                message=f"The {split.split} {what} have mean {split.mean:.3g} and standard deviation "
                f"{split.std:.3g}, the training inputs {train.mean:.3g} and {train.std:.3g}: they were "
                "preprocessed differently.",
                confidence=0.8,
            )


def _argument(*, mean: float, std: float) -> ArgumentProfile:
    fed = SplitProfile(split="train", samples=1000, mean=3.0, std=10.0)
    evaluated = SplitProfile(split="evaluation", samples=1000, mean=mean, std=std)
    return ArgumentProfile(name="x", train=fed, evaluation=evaluated)


RULE = Rule(
    code="D110",
    name="split-mismatch",
    severity=Severity.WARNING,
    what="Validation or test inputs were preprocessed differently from the training inputs.",
    why="The network is evaluated on inputs unlike those it was trained on, so the score does not show what was "
    "learned.",
    recommendation="Compute mean and standard deviation on the training set only, and apply them to every split.",
    find=find,
    needs=("data",),
    limits={
        "shift": Limit(0.5, "half a standard deviation of the training inputs between the means"),
        "ratio": Limit(2.0, "twice or half the standard deviation"),
        "samples": Limit(30, "means of fewer samples are too noisy"),
    },
    causes=("D108", "F901"),
    fixes=(
        Fix(
            action="standardize_input",
            say="Use the training statistics for every split.",
            code="x_test = (x_test - x_train.mean(0)) / x_train.std(0)",
        ),
    ),
    false_positives=("A test set that is intentionally from another distribution.",),
    sources=("CS231n lecture 6: compute statistics on the training data and apply them to all splits.",),
    fires_on=(
        lambda: example_run(
            data=DataProfile(
                splits=(
                    SplitProfile(split="train", samples=1000, mean=0.0, std=1.0),
                    SplitProfile(split="test", samples=200, mean=33.0, std=78.0),
                )
            )
        ),
        lambda: example_run(data=msgspec.structs.replace(profile(), arguments=(_argument(mean=90.0, std=10.0),))),
    ),
    silent_on=(
        healthy,
        lambda: example_run(data=profile()),
        # The same inputs in training and evaluation; preprocessing inside the network does not matter.
        lambda: example_run(data=msgspec.structs.replace(profile(), arguments=(_argument(mean=3.0, std=10.0),))),
    ),
)
