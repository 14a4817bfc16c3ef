"""One definition of the best trial, and every outlet that names one names the same."""

from __future__ import annotations

import math
import re

import msgspec
import pytest

from babysit.analysis.trials import FINALISTS, OTHER_SEEDS, best_of, best_trial, ranked
from babysit.cli.render import _search_line, show_search
from babysit.plots import search_parallel, search_scatter
from babysit.plots.formatting import number
from babysit.records.run import Run, Status
from babysit.records.trial import Trial, TrialState
from babysit.reporting.live.fragments import tiles
from babysit.reporting.report import report
from babysit.store.summary import metric_of


def trial(place: int, metric: float | None, *, lr: float | None = None, stage: str = "coarse", cost: float = 1.0,
          state: TrialState = TrialState.COMPLETE) -> Trial:  # fmt: skip
    return Trial(
        number=place,
        stage=stage,
        parameters={"lr": lr or (place + 1) / 1000, "weight_decay": 1e-4 * (place + 1)},
        state=state,
        metric=metric,
        last_costs=(cost,),
        step=10,
    )


def searched(*trials: Trial) -> Run:
    return Run(id="x", kind="search", status=Status.FINISHED, trials=trials, config={"lr": 0.2})


PRUNED_AHEAD = (trial(0, 0.95, state=TrialState.PRUNED), trial(1, 0.9), trial(2, 0.8))
TIED = (trial(0, 0.9, cost=2.0), trial(1, 0.9, cost=0.5), trial(2, 0.9, cost=0.5))
NOT_FINITE = (trial(0, math.nan), trial(1, math.inf), trial(2, 0.7), trial(3, 0.6))


def with_finalists(*seeds: tuple[int, float | None]) -> tuple[Trial, ...]:
    """Three trials, and repeats of them on new seeds: which, and what came of it."""
    first = [trial(0, 0.90), trial(1, 0.93), trial(2, 0.99)]
    again = [
        Trial(
            number=10 + place,
            stage=FINALISTS,
            parameters=first[which].parameters,
            state=TrialState.PRUNED if metric is None else TrialState.COMPLETE,
            metric=metric,
        )
        for place, (which, metric) in enumerate(seeds)
    ]
    return (*first, *again)


REPEATED = with_finalists((1, 0.94), (1, 0.95), (2, 0.91), (2, 0.92))


@pytest.mark.parametrize(
    ("trials", "best", "metric"),
    [
        (PRUNED_AHEAD, 1, 0.9),
        (TIED, 1, 0.9),
        (NOT_FINITE, 2, 0.7),
        (REPEATED, 1, 0.945),
        (with_finalists((2, None), (2, 0.99), (1, 0.8), (1, 0.8)), 1, 0.8),
        (with_finalists((2, None), (2, None)), 2, 0.99),
        ((trial(0, 0.8), trial(1, 0.85, stage=f"fine{OTHER_SEEDS}")), 0, 0.8),
    ],
)
def test_the_best_trial_finished_and_leads_on_new_seeds_then_by_metric_cost_and_number(
    trials: tuple[Trial, ...], best: int, metric: float
):
    found = best_trial(searched(*trials))
    assert found is not None
    assert found.trial.number == best
    assert found.metric == pytest.approx(metric)


def test_without_a_finished_trial_there_is_no_best():
    assert (
        best_of([trial(0, 0.9, state=TrialState.PRUNED), trial(1, None), trial(2, 0.3, state=TrialState.RUNNING)])
        is None
    )


def test_each_configuration_has_one_place_and_nothing_unfinished_has_any():
    places = ranked((*REPEATED, trial(3, 0.999, state=TrialState.PRUNED)))
    assert [(place.trial.number, place.stage) for place in places] == [(1, FINALISTS), (2, FINALISTS), (0, "coarse")]


@pytest.mark.parametrize("trials", [PRUNED_AHEAD, TIED, NOT_FINITE, REPEATED])
def test_every_outlet_names_the_same_trial_with_the_same_number_beside_the_same_setting(
    trials: tuple[Trial, ...], capsys: pytest.CaptureFixture[str]
):
    run = searched(*trials)
    best = best_trial(run)
    assert best is not None
    lr, metric = f"{best.trial.parameters['lr']:.2g}", number(best.metric, 4)

    assert metric_of(run, {}) == ("best trial", best.metric)
    assert dict(tiles(run))["Best trial"] == metric
    assert f"lr {lr}, " in _search_line(run)
    assert f"{best.metric:.3f} on validation" in _search_line(run)
    scatter, parallel = search_scatter.numbers(run), search_parallel.numbers(run)
    assert scatter is not None
    assert parallel is not None
    assert f"Best: {metric} at lr = {lr}" in search_scatter.describe(scatter)
    assert f"Best: {metric} at lr {lr}" in search_parallel.describe(parallel)
    show_search(run, ())
    row = re.compile(rf"{best.trial.number}\W+{best.stage}\W+{re.escape(f'{best.metric:.4f}')}\W+lr {re.escape(lr)}")
    assert row.search(capsys.readouterr().out.splitlines()[1])
    for format in ("text", "md", "html"):
        # The first row of the table of trials, whatever draws its lines.
        words = re.sub(r"<[^>]*>|[|\\]", " ", report(run, format=format))
        first = re.search(r"(\d+)\s+(coarse|finalists)\s+([\d.]+)\s+lr (\S+),", words)
        assert first is not None, format
        assert first.groups() == (str(best.trial.number), best.stage, metric, lr), format


def test_values_that_differ_by_rounding_alone_are_one_configuration():
    one, other = trial(0, 0.9, lr=0.1), trial(1, 0.8, lr=0.10000000000000006)
    twice = [msgspec.structs.replace(each, parameters={"lr": each.parameters["lr"]}) for each in (one, other)]
    assert [place.trial.number for place in ranked(twice)] == [0]
