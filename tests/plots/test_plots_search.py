"""Figures of a search: what they show is what the trials did."""

from __future__ import annotations

import msgspec
import pytest

from babysit.plots import search_edges, search_parallel, search_rungs
from babysit.records.run import Run
from babysit.records.trial import Rung, StageRange, Trial, TrialState


def halved() -> Run:
    """Nine trials to epoch 1, three of them on to epoch 3; the last one diverged."""
    trials = []
    for number in range(9):
        rungs = [Rung(epochs=1, step=10, metric=None if number == 8 else 0.5 + number / 100)]
        if 5 <= number < 8:
            rungs.append(Rung(epochs=3, step=30, metric=0.7 + number / 100))
        metric = rungs[-1].metric
        done = len(rungs) == 2
        trials.append(
            Trial(
                number=number,
                stage="coarse",
                parameters={"lr": 10 ** (-5 + number / 2), "optimizer": ("sgd", "adam")[number % 2]},
                state=TrialState.COMPLETE if done else TrialState.PRUNED,
                reason="" if done else "loss is NaN" if number == 8 else "not among the best 3 of 9 after 1 epoch",
                metric=metric,
                rungs=tuple(rungs),
            )
        )
    return Run(
        id="x",
        kind="search",
        trials=tuple(trials),
        ranges=(StageRange(stage="coarse", parameter="lr", low=1e-5, high=1e-1, why="as given"),),
    )


def test_rungs_show_every_trials_way_and_how_many_went_on():
    numbers = search_rungs.numbers(halved())
    assert numbers.paths[7] == ((1, pytest.approx(0.57)), (3, pytest.approx(0.77)))
    assert 8 not in numbers.paths  # it never had a metric
    assert numbers.best == 7
    assert search_rungs.describe(numbers) == "8 trials of the coarse stage: 8 to epoch 1, 3 to epoch 3. Best: 0.77."
    assert len(search_rungs.draw(numbers).to_dict()["layer"]) == 4


def test_without_halving_there_are_no_rungs_to_show():
    run = halved()
    alone = [msgspec.structs.replace(trial, rungs=trial.rungs[:1]) for trial in run.trials]
    assert search_rungs.numbers(msgspec.structs.replace(run, trials=tuple(alone))) is None


def test_parallel_lines_go_through_the_places_of_their_values_best_last():
    numbers = search_parallel.numbers(halved())
    assert numbers.axes == ("lr", "optimizer", "metric")
    assert len(numbers.lines) == 8
    assert numbers.lines[-1].trial == 7  # by how far it came, then by its metric
    first = next(line for line in numbers.lines if line.trial == 0)
    assert first.positions[0] == 0.0
    assert first.positions[1] == 1.0  # sgd, behind adam
    middle = next(line for line in numbers.lines if line.trial == 3)
    assert middle.positions[0] == pytest.approx(3 / 7)  # by factors of ten
    assert numbers.ends[0] == ("1e-5", "0.0316")
    assert numbers.ends[1] == ("adam", "sgd")


def test_parallel_lines_have_a_gap_where_a_hyperparameter_does_not_exist():
    trials = tuple(
        Trial(
            number=number,
            stage="s",
            parameters={"lr": number + 1.0} | ({"momentum": 0.5 + number / 10} if number % 2 else {}),
            metric=float(number),
        )
        for number in range(4)
    )
    lines = {line.trial: line for line in search_parallel.numbers(Run(id="x", trials=trials)).lines}
    assert lines[0].positions[1] is None
    assert lines[1].positions[1] == 0.0


def test_thousands_of_trials_keep_the_best_and_say_so():
    trials = tuple(
        Trial(number=number, stage="s", parameters={"lr": 1e-5 * (number + 1)}, metric=float(number))
        for number in range(3000)
    )
    numbers = search_parallel.numbers(Run(id="x", trials=trials))
    assert len(numbers.lines) == 200
    assert numbers.left_out == 2800
    assert "2,800 others left out" in search_parallel.describe(numbers)
    assert min(line.trial for line in numbers.lines) == 2800


def test_the_edge_figure_says_where_in_its_range_the_best_lay():
    numbers = search_edges.numbers(halved())
    assert numbers.name == "lr"
    assert [len(stage.points) for stage in numbers.stages] == [3]  # those that came equally far
    assert numbers.stages[0].diverged == (pytest.approx(1e-1),)
    assert search_edges.describe(numbers) == "In the coarse stage, the best lr was 0.0316, inside 1e-5 to 0.1."
    narrower = (StageRange(stage="coarse", parameter="lr", low=1e-5, high=3.3e-2),)
    said = search_edges.describe(search_edges.numbers(msgspec.structs.replace(halved(), ranges=narrower)))
    assert "at the high end of 1e-5 to 0.033" in said


def test_a_range_that_moved_says_why():
    run = halved()
    moved = (StageRange(stage="coarse", parameter="lr", low=1e-5, high=1e-1, why="moved up: the best lie there"),)
    said = search_edges.describe(search_edges.numbers(msgspec.structs.replace(run, ranges=moved)))
    assert said.endswith("The range was moved up: the best lie there.")
