from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace as replace_struct
from rich.console import Console
from rich.progress import Progress
from torch import nn

from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import Splits, split
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.errors import UserError
from babysit.records.run import Run
from babysit.records.trial import Trial, TrialState
from babysit.store.run_id import new_run_id
from babysit.store.store import Store
from babysit.testing.executor_contract import build as build_blobs
from babysit.testing.executor_contract import workload as blobs
from babysit.tuning.executors.base import TrainingTask, TrainResult, TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.final_evaluation import verify
from babysit.tuning.finalists import best_configurations
from babysit.tuning.importance import importance
from babysit.tuning.result import SearchResult
from babysit.tuning.search import search
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Categorical, Range, Space
from babysit.tuning.space_parser import read_space

QUICK = SearchSettings(
    batch_size=16, stages=(Stage("coarse", 8, 1), Stage("fine", 4, 2)), finalists=2, finalist_seeds=2
)
LEARNING_RATE = Space({"lr": Range(1e-4, 1e-1)})


def blob_splits() -> Splits:
    work = blobs()
    return Splits(train=work.train, validation=work.validation, test=work.validation)


def digits_splits() -> Splits:
    return split(load_data("digits"), seed=0)


def search_blobs(space: Space = LEARNING_RATE, settings: SearchSettings = QUICK, **arguments: Any) -> SearchResult:
    build = arguments.pop("build", build_blobs)
    return search(
        build, blob_splits(), space=space, settings=settings, **({"executor": SequentialExecutor} | arguments)
    )


class Notebook:
    """A writer that keeps what it is told."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []

    def update(self, **fields: Any) -> None:
        self.updates.append(fields)


def test_a_search_on_digits_goes_coarse_to_fine_and_ends_above_93_percent_in_seconds():
    splits = digits_splits()
    preprocess = Standardize.fit(splits.train.x)
    began = time.process_time()
    result = search(
        lambda parameters: nn.Sequential(preprocess, mlp(64, 10)),
        splits,
        space=read_space("lr=1e-4..1e-1 weight_decay=1e-6..1e-2"),
    )
    assert time.process_time() - began < 15
    assert [trial.stage for trial in result.trials][:24] == ["coarse"] * 16 + ["fine"] * 8
    assert result.best is not None
    assert result.best.metric is not None
    assert result.metric_name == "accuracy"
    assert result.best.metric > 0.93
    assert result.mean is not None
    assert result.mean > 0.93
    ranges = {(item.stage, item.parameter): item for item in result.ranges}
    coarse, fine = ranges["coarse", "lr"], ranges["fine", "lr"]
    assert (coarse.low, coarse.high) == (1e-4, 1e-1)
    assert fine.low > coarse.low  # 1e-4 learns hardly anything in two epochs
    assert fine.why


def test_the_same_seed_gives_the_same_trials_and_another_seed_others():
    def numbers(seed: int) -> list[object]:
        settings = SearchSettings(batch_size=16, stages=QUICK.stages, finalists=1, seed=seed)
        return [(t.parameters, t.metric, t.last_costs, t.seed) for t in search_blobs(settings=settings).trials]

    first = numbers(0)
    torch.rand(5)  # the state of the caller's generator is no part of it
    assert first == numbers(0)
    assert first != numbers(1)


def test_a_fine_stage_begins_with_the_best_of_the_coarse_one():
    result = search_blobs()
    coarse = [trial for trial in result.trials if trial.stage == "coarse"]
    first_fine = next(trial for trial in result.trials if trial.stage == "fine")
    assert (
        first_fine.parameters == max(coarse, key=lambda trial: (trial.metric or 0, -sum(trial.last_costs))).parameters
    )
    assert first_fine.step == 2 * coarse[0].step


def test_trials_that_diverge_are_kept_with_their_reason_and_the_range_moves_away_from_them():
    space = Space({"lr": Range(1e-3, 1e4), "optimizer": Categorical(("sgd",))})
    result = search_blobs(
        space, SearchSettings(batch_size=16, stages=(Stage("coarse", 16, 2), Stage("fine", 6, 2)), finalists=0)
    )
    pruned = [trial for trial in result.trials if trial.state == TrialState.PRUNED]
    assert len(pruned) >= 3
    for trial in pruned:
        assert trial.reason.startswith("loss ")
        assert trial.metric is None
        assert 0 < len(trial.last_costs) <= 20
        assert trial.initial_cost == pytest.approx(1.1, abs=0.5)
        assert float(trial.parameters["lr"]) > 0.1
    fine = next(item for item in result.ranges if item.stage == "fine" and item.parameter == "lr")
    assert fine.high < 1e3
    coarse_share = sum(trial.stage == "coarse" for trial in pruned) / 16
    fine_share = sum(trial.stage == "fine" for trial in pruned) / 6
    assert fine_share < coarse_share


def test_when_all_lrs_diverge_the_search_goes_down_until_some_learn():
    space = Space({"lr": Range(1e2, 1e6), "optimizer": Categorical(("sgd",))})
    result = search_blobs(
        space, SearchSettings(batch_size=16, stages=(Stage("coarse", 6, 2), Stage("fine", 8, 4)), finalists=0)
    )
    assert all(trial.state == TrialState.PRUNED for trial in result.trials if trial.stage == "coarse")
    fine = next(item for item in result.ranges if item.stage == "fine" and item.parameter == "lr")
    assert "all 6 trials diverged" in fine.why
    assert result.best is not None


def test_when_nothing_ever_finishes_the_result_says_so_instead_of_failing():
    space = Space({"lr": Range(1e30, 1e31), "optimizer": Categorical(("sgd",))})
    result = search_blobs(space, SearchSettings(batch_size=16, stages=(Stage("coarse", 3, 1),), extra_stages=0))
    assert result.best is None
    assert any("none of 3 trials finished" in note for note in result.notes)


def test_a_best_lr_at_the_edge_makes_one_more_stage_that_goes_beyond_it():
    space = Space({"lr": Range(1e-5, 3e-4)})
    result = search_blobs(space, SearchSettings(batch_size=16, stages=(Stage("coarse", 10, 4),), finalists=0))
    moved = next(item for item in result.ranges if item.stage == "moved 1")
    assert moved.high > 4e-4
    assert "moved up" in moved.why
    best = {
        stage: max(trial.metric or 0 for trial in result.trials if trial.stage == stage)
        for stage in ("coarse", "moved 1")
    }
    assert best["moved 1"] > best["coarse"]


def test_without_more_stages_allowed_an_edge_becomes_advice():
    settings = SearchSettings(batch_size=16, stages=(Stage("coarse", 10, 4),), finalists=0, extra_stages=0)
    result = search_blobs(Space({"lr": Range(1e-5, 3e-4)}), settings)
    assert {trial.stage for trial in result.trials} == {"coarse"}
    assert any("search again with lr=" in note for note in result.notes)


def test_finalists_are_trained_on_new_seeds_and_the_best_mean_wins():
    result = search_blobs()
    finalists = [trial for trial in result.trials if trial.stage == "finalists"]
    assert len(finalists) == 4
    assert {trial.seed for trial in finalists} == {1, 2}
    assert {trial.seed for trial in result.trials if trial.stage != "finalists"} == {0}
    means = {}
    for trial in finalists:
        means.setdefault(tuple(trial.parameters.items()), []).append(trial.metric)
    best = max(sum(metrics) / 2 for metrics in means.values())
    assert result.mean == pytest.approx(best)
    assert result.best is not None
    assert result.mean == pytest.approx(sum(means[tuple(result.best.parameters.items())]) / 2)


def test_every_trial_reaches_the_writer_as_it_ends():
    notebook = Notebook()
    result = search_blobs(writer=notebook)
    lengths = [len(fields["trials"]) for fields in notebook.updates]
    assert set(range(len(result.trials) + 1)) == set(lengths)
    assert lengths == sorted(lengths)
    assert notebook.updates[-1]["trials"] == result.trials
    assert notebook.updates[-1]["ranges"] == result.ranges


def test_trials_and_ranges_are_in_the_store_afterwards(tmp_path: Path):
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    run = Run(id=new_run_id(), kind="search")
    writer = store.open_writer(run)
    result = search_blobs(writer=writer)
    writer.close()
    kept = store.load(run.id)
    assert kept.trials == result.trials
    assert kept.ranges == result.ranges
    store.close()


def test_ctrl_c_keeps_the_trials_that_had_ended():
    def interrupted(workload: TrainingTask) -> SequentialExecutor:
        count = 0

        def build(parameters: dict[str, Any]) -> nn.Module:
            nonlocal count
            count += 1
            if count == 5:
                raise KeyboardInterrupt
            return build_blobs(parameters)

        return SequentialExecutor(
            TrainingTask(build=build, train=workload.train, validation=workload.validation, device="cpu", batch_size=16)
        )

    notebook = Notebook()
    result = search_blobs(executor=interrupted, writer=notebook)
    assert result.interrupted
    assert len(result.trials) == 4
    assert result.best is not None
    assert len(notebook.updates[-1]["trials"]) == 4
    assert any("interrupted after 4 trials" in note for note in result.notes)


def test_the_progress_shows_the_stage_the_count_and_the_best_so_far():
    progress = Progress(disable=True)
    search_blobs(progress=progress)
    coarse, fine, finalists = progress.tasks
    assert (coarse.completed, coarse.total) == (8, 8)  # epochs of training
    assert (fine.completed, fine.total) == (4 * 2, 4 * 2)
    assert (finalists.completed, finalists.total) == (4 * 2, 4 * 2)
    assert "4 alive" in fine.description
    assert "steps x configs/s" in fine.description
    assert "best accuracy" in fine.description
    assert "lr" in fine.description


@pytest.mark.parametrize("sampler", ["grid", "qmc", "tpe"])
def test_the_other_samplers_carry_a_search_through(sampler: str):
    space = Space({"lr": Range(1e-3, 1e-1), "hidden": Categorical((8, 16))})

    def build(parameters: dict[str, Any]) -> nn.Module:
        return mlp(6, 3, hidden=(parameters["hidden"],))

    result = search_blobs(
        space, SearchSettings(batch_size=16, stages=QUICK.stages, sampler=sampler, finalists=0), build=build
    )
    assert sum(trial.stage == "coarse" for trial in result.trials) == 8
    assert result.best is not None


def test_tpe_learns_from_trials_that_diverged():
    space = Space({"lr": Range(1e-3, 1e4), "optimizer": Categorical(("sgd",))})
    settings = SearchSettings(
        batch_size=16, stages=(Stage("coarse", 40, 1),), sampler="tpe", finalists=0, extra_stages=0
    )
    pruned = [trial.state == TrialState.PRUNED for trial in search_blobs(space, settings).trials]
    assert sum(pruned[:10]) >= 3  # the first ten are random
    assert sum(pruned[20:]) < 2 * sum(pruned[:10]) * 0.6


def test_regression_is_searched_by_explained_variance():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 4, generator=generator)
    y = (x @ torch.tensor([1.0, -2.0, 0.5, 0.0]))[:, None]
    samples = Samples(x=x, y=y, task="regression", kind="table")  # type: ignore[arg-type]
    splits = Splits(train=samples.take(range(150)), validation=samples.take(range(150, 200)), test=samples)
    result = search(lambda parameters: mlp(4, 1, hidden=(16,)), splits, space=LEARNING_RATE, settings=QUICK)
    assert result.metric_name == "r2"
    assert result.best is not None
    assert (result.best.metric or 0) > 0.5


def test_a_model_that_does_not_fit_the_data_is_one_clear_error():
    with pytest.raises(UserError, match="no trial could be trained"):
        search_blobs(build=lambda parameters: nn.Linear(99, 3))


def test_configurations_that_fail_before_healthy_ones_report_end_alone():
    """Three of one shape report before the others begin."""

    def some_broken(parameters: dict[str, Any]) -> nn.Module:
        return nn.Linear(5 if parameters["wide"] else 6, 3)

    class FailuresFirst(SequentialExecutor):
        def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
            ordered = sorted(members, key=lambda one: not one.parameters["wide"])
            return super().advance(ordered, epochs=epochs)

    space = Space({"lr": Range(1e-3, 1e-1), "wide": Categorical((True, False))})
    settings = SearchSettings(stages=(Stage("coarse", 12, 1),), finalists=0, extra_stages=0, batch_size=16)
    result = search(some_broken, blob_splits(), space=space, settings=settings, executor=FailuresFirst)
    failed = [trial for trial in result.trials if trial.reason.startswith("failed: ")]
    assert 3 <= len(failed) < len(result.trials) == 12
    assert result.best is not None


def test_a_hyperparameter_that_nothing_uses_is_named():
    with pytest.raises(UserError, match="nothing uses hiden"):
        search_blobs(
            Space({"lr": Range(1e-3, 1e-1), "hiden": Categorical((8, 16))}), build=lambda p: mlp(6, 3, hidden=(8,))
        )


def test_a_builder_that_takes_its_hyperparameters_by_keyword_uses_those_it_takes():
    def build(hidden: int = 8, **rest: Any) -> nn.Module:
        return mlp(6, 3, hidden=(hidden,))

    space = Space({"lr": Range(1e-3, 1e-1), "hidden": Categorical((8, 16))})
    assert search_blobs(space, build=lambda parameters: build(**parameters)).best is not None


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda parameters: mlp(6, 3, hidden=(parameters["width"],)), "asks for 'width'"),
        (lambda parameters: 1 / 0, "ZeroDivisionError"),
        (lambda parameters: "model", "returned str"),
        (lambda parameters, same=nn.Linear(6, 3): same, "same weights twice"),  # noqa: B008
    ],
)
def test_a_wrong_builder_is_refused_before_the_search(build: Any, words: str):
    with pytest.raises(UserError, match=words):
        search_blobs(build=build)


def test_an_unknown_optimizer_in_the_space_is_refused_before_the_search():
    with pytest.raises(UserError, match="no optimizer adagrid"):
        search_blobs(Space({"optimizer": Categorical(("adam", "adagrid"))}))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("lr=1e-3..1e-1 optimizer=sgd,nesterov momentum=0,0.9", "nesterov needs a momentum above 0"),
        ("lr=1e-3..1e-1 batch_size=0,32", "batch_size is 0"),
        ("lr=0.1,inf", "lr is inf"),
        ("lr=0.1,fast", "lr is 'fast'"),
        ("lr=0.1,nan", "NaN is not a value"),
    ],
)
def test_a_choice_that_no_training_can_use_is_refused_before_the_search(space: str, words: str):
    def never(parameters: dict[str, Any]) -> nn.Module:
        raise AssertionError("a model was built")

    with pytest.raises(UserError, match=words):
        search_blobs(read_space(space), build=never)


def test_momentum_may_be_zero_where_nesterov_has_none():
    space = read_space("lr=1e-3..1e-1 optimizer=sgd,nesterov momentum=0,0.9@optimizer=sgd grad_clip_norm=1,inf")
    assert search_blobs(space).best is not None


def test_the_importance_names_the_hyperparameter_that_decides():
    settings = SearchSettings(batch_size=16, stages=(Stage("coarse", 20, 2),), finalists=0, extra_stages=0)
    result = search_blobs(Space({"lr": Range(1e-5, 1e-1), "weight_decay": Range(1e-9, 1e-5)}), settings)
    assert next(iter(result.importance)) == "lr"
    assert result.importance["lr"] > 0.8
    assert any("hyperparameter importance in the coarse stage: lr " in note for note in result.notes)


def test_the_importance_of_a_hyperparameter_that_only_some_trials_have_is_left_out():
    space = read_space("lr=1e-4..1e-1 optimizer=sgd,adam momentum=0.5..0.99@optimizer=sgd")
    trials = [
        Trial(
            number=number,
            stage="coarse",
            parameters={"lr": 1e-4 * 1.4**number, "optimizer": kind} | ({"momentum": 0.9} if kind == "sgd" else {}),
            state=TrialState.COMPLETE,
            metric=number / 20,
        )
        for number, kind in enumerate(["sgd", "adam"] * 8)
    ]
    shares = importance(trials, space)
    assert set(shares) == {"lr", "optimizer"}
    assert shares["lr"] > 0.8


def test_an_error_in_the_users_model_names_the_line_it_came_from():
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise IndexError("no such head")

    with pytest.raises(UserError, match=r"no such head \(test_search.py, line \d+\)"):
        search_blobs(build=lambda parameters: Broken())


def test_a_stage_that_brings_no_more_than_seeds_differ_ends_the_search_and_says_so():
    # Once the learning rate is good, all that is left are differences by chance.
    space = Space({"lr": Range(8e-3, 1.2e-2)})
    stages = (Stage("coarse", 6, 6), Stage("fine", 4, 6), Stage("finer", 4, 6))
    result = search_blobs(space, SearchSettings(batch_size=16, stages=stages, finalists=0, extra_stages=0))
    names = list(dict.fromkeys(trial.stage for trial in result.trials))
    assert names == ["coarse", "fine", "fine on other seeds"]
    assert any("is within the variation over seeds" in note for note in result.notes)
    repeated = [trial for trial in result.trials if trial.stage == "fine on other seeds"]
    assert {trial.seed for trial in repeated} == {1, 2}


def test_a_stage_that_brings_more_than_seeds_differ_is_followed_by_the_next():
    space = Space({"lr": Range(1e-5, 1e-2)})
    stages = (Stage("coarse", 8, 1), Stage("fine", 6, 4), Stage("finer", 4, 4))
    result = search_blobs(space, SearchSettings(batch_size=16, stages=stages, finalists=0, extra_stages=0))
    assert "finer" in {trial.stage for trial in result.trials}


def test_the_winner_of_a_population_is_trained_again_alone_and_compared():
    result = search_blobs(executor=None)
    note = next(note for note in result.notes if note.startswith("trained again alone"))
    assert "reproduces its result" in note
    assert result.best is not None
    assert f"accuracy {result.best.metric:.3f} where {result.best.metric:.3f} was recorded" in note


def test_a_schedule_that_ends_with_its_stage_is_the_same_for_finalists_and_alone():
    """Coarse has 2 epochs and fine 4; the share of the learning rate at the end means the same in both."""
    space = Space({"lr": Range(3e-3, 1e-1), "lr_end": Range(1e-3, 1e-1)})
    settings = SearchSettings(batch_size=16, stages=(Stage("coarse", 6, 2), Stage("fine", 4, 4)), extra_stages=0)
    result = search_blobs(space, settings, executor=None)
    assert {"coarse", "fine"} < {trial.stage for trial in result.trials}
    assert not any(trial.reason.startswith("failed") for trial in result.trials)
    assert any("reproduces its result" in note for note in result.notes)


def test_a_winner_that_does_not_repeat_is_told():
    trial = replace_struct(search_blobs().best, last_costs=(0.001,) * 20)
    told = verify([trial], TrainingTask(**vars(blobs())), compare=True)
    assert "does not quite reproduce its result" in told.note


def test_the_best_asked_together_are_compared_with_the_winner_alone():
    settings = SearchSettings(batch_size=16, stages=(Stage("coarse", 8, 4),), finalists=0, extra_stages=0, ensemble=3)
    result = search_blobs(settings=settings)
    assert result.ensemble is not None
    assert 0.5 < result.ensemble <= 1.0
    assert any(note.startswith("ensemble of the best 3: accuracy") for note in result.notes)
    # By hand: the mean of the probabilities of the best three, each trained alone.
    executor = SequentialExecutor(TrainingTask(**{**vars(blobs()), "batch_size": 16, "optimizer": "adam"}))
    probabilities = []
    for trial in best_configurations(result.trials, 3):
        list(executor.advance([TrialConfig(number=trial.number, parameters=trial.parameters)], epochs=4))
        probabilities.append(executor.outputs(trial.number).softmax(1))
    together = torch.stack(probabilities).mean(0).argmax(1)
    assert result.ensemble == pytest.approx(float((together == blobs().validation.y).double().mean()))


def test_records_are_rows_that_a_table_takes_as_they_are():
    pandas = pytest.importorskip("pandas")
    result = search_blobs(Space({"lr": Range(1e-3, 1e-1), "seed": Categorical((1, 2))}), build=seeded)
    frame = pandas.DataFrame(result.records())
    assert len(frame) == len(result.trials)
    assert list(frame["metric"]) == [trial.metric for trial in result.trials]
    assert list(frame["lr"]) == [trial.parameters["lr"] for trial in result.trials]
    assert set(frame["parameter_seed"]) == {1, 2}  # the trial's own seed has a column of that name already
    assert set(frame["seed"]) == {trial.seed for trial in result.trials}


def seeded(parameters: dict[str, Any]) -> nn.Module:
    assert parameters["seed"] in (1, 2)
    return build_blobs(parameters)


def test_a_hyperparameter_exists_only_beside_its_optimizer_through_a_whole_search():
    space = read_space("lr=1e-3..1e-1 optimizer=sgd,adam momentum=0.5..0.99@optimizer=sgd")
    result = search_blobs(space, SearchSettings(batch_size=16, stages=QUICK.stages, sampler="tpe", finalists=2))
    for trial in result.trials:
        assert ("momentum" in trial.parameters) == (trial.parameters["optimizer"] == "sgd")
    assert result.best is not None


def test_the_plan_is_told_before_a_stage_begins():
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    settings = SearchSettings(batch_size=16, stages=(Stage("coarse", 9, 3),), finalists=0, extra_stages=0)
    with Progress(console=console) as progress:
        result = search_blobs(settings=settings, progress=progress)
    plan = (
        "coarse: 9 trials to epoch 1, the best 3 on to 3; 15 epochs of training in total, 56% of the 27 without halving"
    )
    assert result.plans == (plan,)
    assert plan in console.file.getvalue()  # type: ignore[attr-defined]
    assert [len(trial.rungs) for trial in result.trials].count(2) == 3
