"""S004: the winner's lead is within what seeds differ by."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.search.made_up import rate_and_decay, searched, sound, trial_of
from babysit.rules.search.placed import FINALISTS


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares the best two configurations by their means over new seeds."""
    by_configuration: dict[tuple[tuple[str, object], ...], list[float]] = {}
    for trial in run.trials:
        if trial.stage == FINALISTS and trial.metric is not None:
            by_configuration.setdefault(tuple(sorted(trial.parameters.items())), []).append(trial.metric)
    ranked = sorted(by_configuration.values(), key=statistics.fmean, reverse=True)
    if len(ranked) < 2 or min(len(metrics) for metrics in ranked[:2]) < 2:
        return
    first, second = ranked[:2]
    lead = statistics.fmean(first) - statistics.fmean(second)
    spread = max(statistics.stdev(first), statistics.stdev(second))
    if lead > limits["spreads"] * spread:
        return
    yield Evidence(
        numbers={"lead": lead, "spread": spread, "seeds": len(first)},
        meaning=f"Over {len(first)} new seeds the best configuration leads by {lead:.4f}, and seeds alone differ by "
        f"{spread:.4f} (standard deviation): the two may well be equal.",
    )


def _example(*metrics: tuple[float, ...]) -> Run:
    finalists = [
        trial_of(100 + 10 * place + seed, {"rate": 1e-3 * (place + 1), "weight_decay": 1e-4}, metric, stage=FINALISTS)
        for place, seeds in enumerate(metrics)
        for seed, metric in enumerate(seeds)
    ]
    return searched(rate_and_decay, {"rate": (1e-4, 1e-1), "weight_decay": (1e-6, 1e-2)}, finalists=finalists)


RULE = Rule(
    code="S004",
    name="indistinct-winner",
    severity=Severity.INFO,
    what="The winner's lead is no larger than seeds differ.",
    why="Another seed could have named another winner; a choice by the metric alone is partly luck.",
    advice="Take either, the cheaper or the more regularized one; or compare them on more seeds.",
    find=find,
    limits={"spreads": Limit(1.0, "one standard deviation of the seeds, which one seed in three exceeds")},
    treatments=(Treatment(action="more_seeds", say="Train the best two on more seeds."),),
    false_positives=("Three seeds know their spread to about half of its size only.",),
    sources=("Bouthillier et al. 2021, Accounting for variance in machine learning benchmarks.",),
    fires_on=(lambda: _example((0.95, 0.93, 0.94), (0.94, 0.935, 0.93)),),
    silent_on=(sound, lambda: _example((0.951, 0.95, 0.952), (0.90, 0.901, 0.899))),
)
