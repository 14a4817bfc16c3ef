"""D111: the same samples in training and validation."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.records.dataprofile import SplitProfile
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy, profile
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check how many validation and test samples also occur in the training set."""
    data = run.data
    others = sum(one.samples for one in data.splits if one.split in ("validation", "test")) if data else 0
    if data is None or not data.shared or not others:
        return
    share = data.shared / others
    yield Evidence(
        severity=Severity.WARNING if share > limits["share"] else Severity.INFO,
        numbers={"shared": data.shared, "others": others, "share": share},
        message=f"{data.shared:,} of {others:,} validation and test samples ({100 * share:.1f} %) are also in the "
        "training set: the validation and test scores are too optimistic.",
    )


RULE = Rule(
    code="D111",
    name="split-leak",
    severity=Severity.WARNING,
    what="The same samples occur in training and in validation or test.",
    why="Memorized samples count as generalization.",
    recommendation="Drop duplicates before splitting; split by person, document or day if samples are grouped.",
    find=find,
    needs=("data",),
    limits={
        "share": Limit(
            0.02, "2 % changes an accuracy by at most two points; small discrete tables contain duplicates naturally"
        )
    },
    fixes=(Fix(action="drop_duplicates", say="Drop duplicates first.", code="table = table.drop_duplicates()"),),
    false_positives=("Tables of few discrete columns contain duplicate rows naturally.",),
    sources=("Barz & Denzler 2020 (arXiv 1902.00423): duplicates between CIFAR's train and test sets.",),
    fires_on=(
        lambda: example_run(
            data=msgspec.structs.replace(
                profile(),
                shared=50,
                splits=(SplitProfile(split="train", samples=1000), SplitProfile(split="test", samples=200)),
            )
        ),
    ),
    silent_on=(healthy,),
)
