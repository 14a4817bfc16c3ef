"""S003: most trials of a stage diverged."""

from __future__ import annotations

from collections.abc import Iterator

from babysit.analysis.trial_positions import diverged
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.search.example_runs import peak, searched, sound


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Count diverged trials by stage; a note only if a later stage exists."""
    stages = list(dict.fromkeys(stage_range.stage for stage_range in run.ranges))
    for index, stage in enumerate(stages):
        trials = [trial for trial in run.trials if trial.stage == stage]
        stopped = [trial for trial in trials if diverged(trial)]
        if len(trials) < limits["trials"] or len(stopped) <= limits["share"] * len(trials):
            continue
        lrs = [float(trial.parameters["lr"]) for trial in stopped if "lr" in trial.parameters]
        lowest = f", the lowest at a learning rate of {min(lrs):.2g}" if lrs else ""
        later = {trial.stage for trial in run.trials} & set(stages[index + 1 :])
        yield Evidence(
            numbers={"stage": stage, "diverged": len(stopped), "trials": len(trials)},
            message=f"{len(stopped)} of {len(trials)} trials of the {stage} stage diverged{lowest}: most of its "
            "compute was wasted.",
            severity=Severity.INFO if later else None,
        )


RULE = Rule(
    code="S003",
    name="mostly-diverged",
    severity=Severity.WARNING,
    what="Most trials of a stage diverged.",
    why="The ranges extend too high, so few trials are left to compare.",
    recommendation="Lower the high end of the learning rate's range.",
    find=find,
    limits={
        "share": Limit(0.5, "more trials diverged than finished"),
        "trials": Limit(4, "with fewer trials most may diverge by chance"),
    },
    fixes=(Fix(action="lower_range", target="lr", say="Lower the high end of the learning rate's range."),),
    false_positives=("An intentionally wide range, to find where training diverges.",),
    sources=("CS231n lecture 6: a loss of NaN almost always means too high a learning rate.",),
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
