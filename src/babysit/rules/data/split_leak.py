"""D111: the same samples in train and validation."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from babysit.records.dataprofile import SplitProfile
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, healthy, profile
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads how many samples of the other splits occur in train too."""
    data = run.data
    others = sum(one.samples for one in data.splits if one.split in ("validation", "test")) if data else 0
    if data is None or not data.shared or not others:
        return
    share = data.shared / others
    yield Evidence(
        severity=Severity.WARNING if share > limits["share"] else Severity.INFO,
        numbers={"shared": data.shared, "others": others, "share": share},
        message=f"{data.shared:,} of {others:,} validation and test samples ({100 * share:.1f} %) are in the "
        "training set as well: their score is too good to be true.",
    )


RULE = Rule(
    code="D111",
    name="split-leak",
    severity=Severity.WARNING,
    what="The same samples occur in train and in validation or test.",
    why="What was learned by heart is counted as understood.",
    recommendation="Drop duplicates before splitting; split by person, document or day where samples belong together.",
    find=find,
    needs=("data",),
    limits={
        "share": Limit(0.02, "2 % moves an accuracy by at most two points; small discrete tables repeat by nature")
    },
    fixes=(Fix(action="drop_duplicates", say="Drop duplicates first.", code="table = table.drop_duplicates()"),),
    false_positives=("Tables of few discrete columns repeat rows by nature.",),
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
