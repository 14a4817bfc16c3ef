"""The whole method on small data: the same numbers each time, also when it was interrupted."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from babysit.pipeline.reproduce import rebuild_training
from babysit.pipeline.run_pipeline import STAGES, Guidance, PipelineSettings, run_pipeline, settings_of, usable_lrs
from babysit.pipeline.train import MODEL
from babysit.records.errors import UserError
from babysit.records.run import Status
from babysit.store.store import Store


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 5))
    labels = np.array(["low", "middle", "high"])[np.digitize(x[:, 0] + x[:, 1] ** 2, [0.3, 1.5])]
    path = tmp_path_factory.mktemp("data") / "table.csv"
    rows = [",".join([*(f"{value:.5f}" for value in row), label]) for row, label in zip(x, labels, strict=True)]
    path.write_text("\n".join(["a,b,c,d,e,kind", *rows]) + "\n")
    return path


def settings_for(table, folder, **others):
    return PipelineSettings(source=str(table), target="kind", epochs=6, folder=str(folder), **others)


def weights(run):
    return torch.load(run.artifacts["model"], weights_only=True)["weights"]


def numbers(run):
    return {name: value for name, value in run.result.items() if name != "seconds"}


def again_of(run):
    """The settings of a run that goes on, its data and folder as they were."""
    return settings_of(run, source=str(run.config.get("source")), model="", folder=str(run.config.get("folder")))


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with Store(str(folder)) as store:
        return run_pipeline(settings_for(table, folder), store=store)


def assert_same(run, other):
    assert numbers(run) == numbers(other)
    assert [trial.metric for trial in run.trials] == [trial.metric for trial in other.trials]
    mine, theirs = weights(run), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for name in ("train/loss", "val/loss", "val/accuracy"):
        one, two = run.curves.get(name), other.curves.get(name)
        assert one.steps.tolist() == two.steps.tolist(), name
        assert one.values.tolist() == two.values.tolist(), name


def test_every_stage_leaves_its_part_of_the_run(whole):
    assert whole.status is Status.FINISHED
    assert whole.config["stage"] == "concluded"
    assert whole.data.class_names == ("high", "low", "middle")
    names = {experiment.name for experiment in whole.experiments}
    assert {"initial-loss", "initial-loss-regularized", "overfit-tiny", "lr-range"} <= names
    assert {"coarse", "fine"} <= {trial.stage for trial in whole.trials}
    assert whole.config["lr"] in [trial.parameters["lr"] for trial in whole.trials]
    assert len(whole.curves.get("train/loss")) == whole.events.steps > 0
    assert len(whole.layer_metrics.steps) > 0
    assert whole.model_summary.objectives[0].loss == "cross_entropy"
    assert whole.result["test/accuracy"] > 0.5


def test_the_files_of_the_run_are_where_it_says(whole):
    page = Path(whole.artifacts["report"]).read_text(encoding="utf-8")
    assert whole.id in page
    assert "preprocessing.mean" in weights(whole)


def test_the_same_seed_gives_the_same_numbers(whole, table, tmp_path):
    with Store(str(tmp_path)) as store:
        assert_same(run_pipeline(settings_for(table, tmp_path), store=store), whole)


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_interrupted_after_a_stage_it_goes_on_to_the_same_numbers(stage, whole, table, tmp_path):
    told = []

    def interrupt(finished, run):
        told.append(finished)
        if finished == stage:
            raise KeyboardInterrupt

    with Store(str(tmp_path)) as store:
        with pytest.raises(KeyboardInterrupt, match=r"--resume \d+"):
            run_pipeline(settings_for(table, tmp_path), store=store, guidance=Guidance(on_stage=interrupt))
        kept = store.load("latest")
        assert kept.status is Status.INTERRUPTED
        assert kept.config["stage"] == stage
        again = []
        finished = run_pipeline(
            again_of(kept), store=store, resume=kept, guidance=Guidance(on_stage=lambda name, run: again.append(name))
        )
    assert (*told, *again) == STAGES  # no stage is repeated
    assert finished.id == kept.id
    assert finished.stop_reason == whole.stop_reason
    assert_same(finished, whole)


def test_interrupted_within_the_training_it_goes_on_bit_for_bit(whole, table, tmp_path, monkeypatch):
    import babysit.training.fit as loop

    real, calls = loop.observe, []

    def interrupted_observe(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(loop, "observe", interrupted_observe)
    with Store(str(tmp_path)) as store:
        with pytest.raises(KeyboardInterrupt, match="is saved"):
            run_pipeline(settings_for(table, tmp_path), store=store)
        kept = store.load("latest")
        assert (kept.status, kept.config["stage"]) == (Status.INTERRUPTED, "searched")
        assert len(kept.curves.get("train/loss")) > 0
        finished = run_pipeline(again_of(kept), store=store, resume=kept)
    assert len(calls) > 4
    assert finished.events.steps == whole.events.steps
    assert_same(finished, whole)


def test_a_fault_leaves_a_readable_run_that_says_it_crashed(table, tmp_path):
    def fail(stage, run):
        if stage == "checked":
            raise ZeroDivisionError("by nobody")

    with Store(str(tmp_path)) as store:
        with pytest.raises(ZeroDivisionError):
            run_pipeline(settings_for(table, tmp_path), store=store, guidance=Guidance(on_stage=fail))
        kept = store.load("latest")
    assert kept.status is Status.CRASHED
    assert kept.stop_reason == "ZeroDivisionError: by nobody"
    assert len(kept.experiments) >= 4


def test_changed_data_are_noticed_when_a_run_goes_on(whole, table, tmp_path):
    changed = tmp_path / "table.csv"
    changed.write_text(table.read_text().replace("low", "tiny"))
    stopped = msgspec.structs.replace(whole, config={**whole.config, "source": str(changed)}, status=Status.INTERRUPTED)
    with Store(str(tmp_path)) as store, pytest.raises(UserError, match="data have changed"):
        run_pipeline(again_of(stopped), store=store, resume=stopped)


def test_only_an_unfinished_run_of_the_method_can_be_resumed(whole):
    with pytest.raises(UserError, match="is finished"):
        again_of(whole)
    with pytest.raises(UserError, match="is a watch run"):
        again_of(msgspec.structs.replace(whole, kind="watch"))
    with pytest.raises(UserError, match="still running"):
        again_of(msgspec.structs.replace(whole, status=Status.RUNNING))


def test_a_file_where_the_run_folder_should_be_is_a_user_error(table, tmp_path):
    (tmp_path / "file").write_text("")
    with Store(str(tmp_path)) as store, pytest.raises(UserError, match="cannot create the run"):
        run_pipeline(settings_for(table, tmp_path / "file"), store=store)


def test_a_kept_run_can_be_trained_again_with_its_own_settings(whole):
    named = {"source": str(whole.config["source"]), "model": ""}
    ready, settings = rebuild_training(whole, **named)
    assert settings.lr == whole.config["lr"]
    assert settings.weight_decay == whole.config["weight_decay"]
    assert settings.folder is None
    assert ready.profile.fingerprint == whole.data.fingerprint
    with pytest.raises(UserError, match="is a search run"):
        rebuild_training(msgspec.structs.replace(whole, kind="search"), **named)


def test_lrs_come_from_the_experiment_and_else_are_the_usual_ones(whole):
    low, high = usable_lrs(whole)
    assert low == whole.experiment("lr-range").measured["low"] < high
    assert usable_lrs(msgspec.structs.replace(whole, experiments=())) == (1e-4, 1e-1)


def test_the_model_file_is_named_in_the_run(whole):
    assert whole.artifacts["model"].endswith(f"{whole.id}/{MODEL}")
