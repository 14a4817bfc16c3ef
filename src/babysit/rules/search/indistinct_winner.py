"""S004: the lead of the best configuration is within seed noise, or no trial learned anything."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from msgspec.structs import replace

from babysit.analysis.constant import best_by_chance, from_profile, measured, none_beat
from babysit.analysis.trials import FINALISTS, mean_loss
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run, Status
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.search.example_runs import lr_and_decay, searched, sound, trial_of


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare all trials with a constant prediction, then the best two configurations over new seeds."""
    if run.status is not Status.RUNNING and (learned_nothing := _learned_nothing(run)):
        yield learned_nothing
        return
    by_configuration: dict[tuple[tuple[str, object], ...], list[float]] = {}
    for trial in run.trials:
        if trial.stage == FINALISTS and trial.metric is not None:
            by_configuration.setdefault(tuple(sorted(trial.parameters.items())), []).append(trial.metric)
    ranked = sorted(by_configuration.values(), key=statistics.fmean, reverse=True)
    if len(ranked) < 2 or min(len(metrics) for metrics in ranked[:2]) < 2:
        return
    first, second = ranked[:2]
    lead = statistics.fmean(first) - statistics.fmean(second)
    std = max(statistics.stdev(first), statistics.stdev(second))
    if lead > limits["spreads"] * std:
        return
    yield Evidence(
        numbers={"lead": lead, "spread": std, "seeds": len(first)},
        message=f"Over {len(first)} new seeds the best configuration leads by {lead:.4f}, and the standard "
        f"deviation over seeds is {std:.4f}: the difference may be seed noise.",
    )


def _learned_nothing(run: Run) -> Evidence | None:
    """Return evidence that no trial beat a constant prediction, or None."""
    constant, known = from_profile(run.data), measured(run.trials)
    if constant is None or not none_beat(known, constant):
        return None
    best, by_chance = max(trial.metric or 0.0 for trial in known), best_by_chance(constant, len(known))
    lowest = min(map(mean_loss, known))
    return Evidence(
        numbers={"trials": len(known), "best": best, "constant": constant.metric, "by_luck": by_chance,
                 "lowest_trial_loss": lowest, "constant_loss": constant.loss},
        message=f"No trial beat a constant prediction: the best metric of {len(known)} is {best:.3f}, a constant "
        f"prediction has {constant.metric:.3f} and reaches up to {by_chance:.3f} by chance; the lowest training loss "
        f"is {lowest:.3g}, that of the constant prediction {constant.loss:.3g}. The ranking of the trials is noise.",
        recommendation="Do not use the best of these trials. Search where the training loss decreases (`babysit "
        "check` finds such learning rates), or train longer; if it never decreases, check labels and loss first.",
        severity=Severity.WARNING,
        fixes=(
            Fix(action="overfit_tiny", say="Try to overfit 20 samples: if that fails, there is a bug in model, "
            "loss or loop."),
        ),
    )  # fmt: skip


def _at_chance(metric: float, costs: tuple[float, ...]) -> Run:
    """Build a search over ten balanced classes, every trial with this metric and these last losses."""
    run = searched(lambda _: metric, {"lr": (1e-6, 1e-4)})
    splits = (
        SplitProfile(split="train", samples=1000, class_counts=(100,) * 10),
        SplitProfile(split="validation", samples=300, class_counts=(30,) * 10),
    )
    trials = tuple(replace(trial, last_costs=costs) for trial in run.trials)
    return replace(run, data=DataProfile(splits=splits), trials=trials)


def _example(*metrics: tuple[float, ...]) -> Run:
    finalists = [
        trial_of(100 + 10 * index + seed, {"lr": 1e-3 * (index + 1), "weight_decay": 1e-4}, metric, stage=FINALISTS)
        for index, seeds in enumerate(metrics)
        for seed, metric in enumerate(seeds)
    ]
    return searched(lr_and_decay, {"lr": (1e-4, 1e-1), "weight_decay": (1e-6, 1e-2)}, finalists=finalists)


RULE = Rule(
    code="S004",
    name="indistinct-winner",
    severity=Severity.INFO,
    what="The lead of the best configuration is within seed noise, or no trial beat a constant prediction.",
    why="Another seed could change the winner; if no trial learned anything, the winner is random.",
    recommendation="Use either of the two, such as the faster or the more regularized one, or compare them on "
    "more seeds.",
    find=find,
    limits={"spreads": Limit(1.0, "one standard deviation over seeds, which one seed in three exceeds")},
    fixes=(Fix(action="more_seeds", say="Train the best two on more seeds."),),
    false_positives=("The standard deviation of three seeds is accurate to about 50 % only.",),
    sources=("Bouthillier et al. 2021, Accounting for variance in machine learning benchmarks.",),
    fires_on=(
        lambda: _example((0.95, 0.93, 0.94), (0.94, 0.935, 0.93)),
        lambda: _at_chance(0.14, (2.31, 2.29, 2.30)),
    ),
    silent_on=(
        sound,
        lambda: _example((0.951, 0.95, 0.952), (0.90, 0.901, 0.899)),
        lambda: _at_chance(0.14, (1.8, 1.9)),  # the loss shows that something was learned
        lambda: _at_chance(0.5, (2.5, 2.4)),  # the metric does: smoothed labels keep the loss up
    ),
)
