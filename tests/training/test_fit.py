from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.progress import Progress
from torch import Tensor, nn
from training_models import digits_model, weights

from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.errors import UserError
from babysit.records.run import Status
from babysit.training.evaluate import evaluate
from babysit.training.fit import fit
from babysit.training.settings import FitSettings

QUICK = FitSettings(lr=0.01, epochs=3)


@pytest.mark.slow
def test_digits_are_learned_and_everything_is_recorded(digits: Splits) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Standardize.fit(digits.train.x), mlp(64, 10))
    with Progress(disable=True) as progress:
        run, trained, checkpoint = fit(model, digits, settings=FitSettings(lr=0.003, epochs=25), progress=progress)
    assert trained is model
    assert checkpoint is None
    assert run.status is Status.FINISHED
    assert run.kind == "fit"
    assert run.result["test/accuracy"] > 0.96
    assert run.config["lr"] == 0.003
    assert run.data is not None
    assert run.data.split("train") is not None
    assert len(run.curves.get("train/loss")) == run.result["steps"]
    for name in ("val/loss", "val/accuracy"):
        assert len(run.curves.get(name)) == run.result["epochs"]
    assert len(run.curves.get("train/accuracy")) >= run.result["epochs"]
    assert len(run.curves.get("lr")) > 0
    assert run.model_summary is not None
    assert run.model_summary.objectives[0].loss == "cross_entropy"
    assert len(run.model_summary.objectives) == 1


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(few: Splits) -> None:
    def numbers(seed: int) -> tuple[dict[str, bytes], bytes]:
        torch.rand(3)  # what was drawn before does not matter
        run, model, _ = fit(digits_model(few), few, settings=replace(QUICK, seed=seed))
        return weights(model), run.curves.get("train/loss").values.tobytes()

    assert numbers(0) == numbers(0)
    assert numbers(0) != numbers(1)


def test_each_epoch_sees_all_samples_in_an_order_of_its_own(line: Splits) -> None:
    class Remembering(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                seen.append(x.detach().clone())
            return super().forward(x)

    seen: list[Tensor] = []
    fit(Remembering(4, 1), line, settings=FitSettings(epochs=2, batch_size=50))
    first, second = (torch.cat(seen[half : half + len(seen) // 2]) for half in (0, len(seen) // 2))
    assert len(first) == len(second) == len(line.train)
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(dim=0).values, second.sort(dim=0).values)
    assert torch.equal(first.sort(dim=0).values, line.train.x.sort(dim=0).values)


def test_the_programs_random_state_is_not_touched(few: Splits) -> None:
    model = digits_model(few)
    state = torch.get_rng_state()
    fit(model, few, settings=QUICK)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_ends_with_its_best_weights_in_eval_mode(few: Splits) -> None:
    # A learning rate this high makes the score jump up and down, so the last epoch is not the best one.
    run, model, _ = fit(digits_model(few), few, settings=FitSettings(lr=0.3, epochs=12))
    scores = run.curves.get("val/accuracy").values
    assert scores[-1] < scores.max()
    assert evaluate(model, few.validation).value == scores.max() == run.result["val/accuracy"]
    assert run.result["best_step"] == run.result["best_epoch"] * math.ceil(len(few.train) / 64)
    assert not any(module.training for module in model.modules())


def test_training_stops_when_the_score_no_longer_gets_better(few: Splits) -> None:
    run, _, _ = fit(digits_model(few), few, settings=FitSettings(lr=0.01, epochs=200, patience=3))
    assert run.result["epochs"] < 200
    assert "best was epoch" in run.stop_reason


def test_training_stops_when_the_gap_widens(few: Splits) -> None:
    shuffled = few.train.y[torch.randperm(len(few.train), generator=torch.Generator().manual_seed(0))]
    memorizing = replace(few, train=replace(few.train, y=shuffled))  # nothing to learn, everything to memorize
    settings = FitSettings(lr=0.003, epochs=200, patience=150, gap_patience=4)
    run, _, _ = fit(digits_model(few, dropout=0.0), memorizing, settings=settings)
    assert "gap between validation and training loss widened for 4 epochs" in run.stop_reason
    assert run.result["epochs"] < 100


@pytest.mark.parametrize("when", [1, 9], ids=["in the first epoch", "later"])
def test_a_loss_that_becomes_nan_stops_restores_and_says_what_to_do(few: Splits, when: int) -> None:
    class Breaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = digits_model(few)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            return self.inner(x) * (math.nan if self.calls == when + 1 and self.training else 1.0)

    model = Breaking()
    run, _, _ = fit(model, few, settings=FitSettings(lr=0.01, epochs=10))
    assert run.status is Status.FINISHED
    assert f"became NaN at step {when + 1} " in run.stop_reason
    assert "learning rate 0.01" in run.stop_reason
    assert "Try 0.001" in run.stop_reason
    assert ("the initial weights are restored" if when == 1 else "the weights of epoch") in run.stop_reason
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    assert math.isnan(run.curves.get("train/loss").values[-1])


def test_a_lr_that_explodes_a_regression_is_stopped(line: Splits) -> None:
    torch.manual_seed(0)
    run, model, _ = fit(mlp(4, 1), line, settings=FitSettings(lr=1e6, optimizer="sgd", epochs=20))
    assert "usually the learning rate is too high" in run.stop_reason
    assert math.isfinite(evaluate(model, line.validation).loss)


def test_inputs_with_nan_are_blamed_instead_of_the_lr(few: Splits) -> None:
    x = few.train.x.clone()
    x[5, 5] = math.nan
    run, _, _ = fit(mlp(64, 10), replace(few, train=replace(few.train, x=x)), settings=QUICK)
    assert "the training inputs contain NaN" in run.stop_reason
    assert "Try" not in run.stop_reason


def test_a_regression_is_scored_by_r2(line: Splits) -> None:
    torch.manual_seed(0)
    run, _, _ = fit(mlp(4, 1), line, settings=FitSettings(lr=0.01, epochs=30))
    assert run.result["val/r2"] > 0.95
    assert len(run.curves.get("val/r2")) == run.result["epochs"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_train(few: Splits, precision: str) -> None:
    run, model, _ = fit(digits_model(few), few, settings=replace(QUICK, precision=precision, epochs=8))
    assert run.result["val/accuracy"] > 0.7
    expected = {"bf16-mixed": torch.float32, "bf16-true": torch.bfloat16, "64-true": torch.float64}[precision]
    assert model[1][0].weight.dtype is expected


def test_records_go_to_the_writer_under_its_run(few: Splits) -> None:
    class Sink:
        run_id = "20260101-000000-quiet"

        def __init__(self) -> None:
            self.rows = 0
            self.fields: dict[str, object] = {}

        def append(self, *, curves: object = None, layer_metrics: object = None) -> None:
            self.rows += curves is not None

        def update(self, **parts: object) -> None:
            self.fields.update(parts)

    sink = Sink()
    run, _, _ = fit(digits_model(few), few, settings=QUICK, writer=sink)
    assert run.id == sink.run_id
    assert sink.rows > 0
    assert sink.fields["status"] is Status.FINISHED
    assert sink.fields["result"] == run.result


def test_a_wrong_number_of_outputs_is_refused_before_training(few: Splits) -> None:
    with pytest.raises(UserError, match="10"):
        fit(mlp(64, 9), few, settings=QUICK)


def test_no_validation_samples_are_refused(few: Splits) -> None:
    with pytest.raises(UserError, match="no validation samples"):
        fit(mlp(64, 10), replace(few, validation=few.validation.take([])), settings=QUICK)


@pytest.mark.parametrize("device", ["gpu9", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(few: Splits, device: str) -> None:
    with pytest.raises(UserError, match="device"):
        fit(mlp(64, 10), few, settings=replace(QUICK, device=device))


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"lr": math.nan},
        {"weight_decay": -1.0},
        {"batch_size": 0},
        {"epochs": 0},
        {"patience": 0},
        {"precision": "8-bit"},
        {"seed": -1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    name = next(iter(wrong))
    with pytest.raises(UserError, match="learning rate" if name == "lr" else name.replace("_", ".")):
        FitSettings(**wrong)  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_written_is_known_before_training(few: Splits, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="the checkpoint cannot be written"):
        fit(mlp(64, 10), few, settings=replace(QUICK, folder=tmp_path / "taken"))


def test_evaluation_changes_neither_modes_nor_averages(few: Splits) -> None:
    model = digits_model(few).train()
    model[1].eval()
    before, modes = weights(model), [module.training for module in model.modules()]
    first = evaluate(model, few.validation, batch_size=7)
    assert first == pytest.approx(evaluate(model, few.validation, batch_size=512))
    assert weights(model) == before
    assert [module.training for module in model.modules()] == modes


def test_r2_is_that_of_all_samples_and_not_the_mean_of_batches(line: Splits) -> None:
    torch.manual_seed(0)
    model = mlp(4, 1)
    samples: Samples = line.validation
    error = ((model(samples.x).detach() - samples.y) ** 2).sum()
    whole = 1 - float(error / ((samples.y - samples.y.mean()) ** 2).sum())
    assert evaluate(model, samples, batch_size=5).value == pytest.approx(whole, rel=1e-4)
