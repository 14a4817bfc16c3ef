"""S003: most trials of a stage diverged."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.trial_positions import diverged
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.search.example_runs import peak, searched, sound


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Counts by stage; a stage that was followed by one without the trouble is only worth knowing."""
    stages = list(dict.fromkeys(piece.stage for piece in run.ranges))
    for place, stage in enumerate(stages):
        trials = [trial for trial in run.trials if trial.stage == stage]
        stopped = [trial for trial in trials if diverged(trial)]
        if len(trials) < limits["trials"] or len(stopped) <= limits["share"] * len(trials):
            continue
        lrs = [float(trial.parameters["lr"]) for trial in stopped if "lr" in trial.parameters]
        lowest = f", the lowest at a learning rate of {min(lrs):.2g}" if lrs else ""
        later = {trial.stage for trial in run.trials} & set(stages[place + 1 :])
        yield Evidence(
            numbers={"stage": stage, "diverged": len(stopped), "trials": len(trials)},
            message=f"{len(stopped)} of {len(trials)} trials of the {stage} stage diverged{lowest}: most of its work "
            "was lost.",
            severity=Severity.INFO if later else None,
        )


RULE = Rule(
    code="S003",
    name="mostly-diverged",
    severity=Severity.WARNING,
    what="Most trials of a stage diverged.",
    why="The ranges reach too high: a few of the trials are left to tell good values from bad ones.",
    recommendation="Lower the high end of the learning rate's range.",
    find=find,
    limits={
        "share": Limit(0.5, "more were lost than kept"),
        "trials": Limit(4, "of fewer trials most may diverge by chance"),
    },
    fixes=(Fix(action="lower_range", target="lr", say="Lower the high end of the rate's range."),),
    false_positives=("A range that was made wide on purpose, to see where training stops working.",),
    sources=("CS231n lecture 6: a NaN cost almost always means too high a learning rate.",),
    fires_on=(
        lambda: searched(
            lambda values: None if values["lr"] > 1e-2 else peak("lr", 1e-3)(values), {"lr": (1e-3, 10.0)}
        ),
    ),
    silent_on=(
        sound,
        lambda: searched(lambda values: None if values["lr"] > 1e-1 else peak("lr", 1e-2)(values), {"lr": (1e-4, 1.0)}),
    ),
)
