from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_models import digits_model, weights

from babysit.data.sources import load_data
from babysit.data.splits import Splits, split
from babysit.nn.builders import mlp
from babysit.records.errors import UserError
from babysit.records.run import Status
from babysit.training import checkpoint
from babysit.training.fit import fit
from babysit.training.settings import FitSettings

SETTINGS = FitSettings(lr=0.01, epochs=6, weight_decay=1e-3)


@pytest.fixture(autouse=True)
def _a_checkpoint_after_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of milliseconds would otherwise pass without one, so as not to spend the time on writing."""
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))


class Interrupted(nn.Module):
    """Draws from every random source on each training step, and at one of them Ctrl-C is pressed."""

    def __init__(self, splits: Splits, *, at_step: int | None) -> None:
        super().__init__()
        self.inner = digits_model(splits)
        self.at_step = at_step
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            if self.steps == self.at_step:
                raise KeyboardInterrupt
            x = x * (1 + 0.01 * random.random() + 0.01 * np.random.rand())
        return self.inner(x)


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
@pytest.mark.parametrize("at_step", [2, 6, 15])
def test_interrupted_and_resumed_is_bit_for_bit_the_same_as_never_interrupted(
    few: Splits, tmp_path: Path, optimizer: str, at_step: int
) -> None:
    settings = replace(SETTINGS, optimizer=optimizer)
    whole = fit(Interrupted(few, at_step=None), few, settings=replace(settings, folder=tmp_path / "whole"))
    kept = replace(settings, folder=tmp_path / "cut")
    random.seed(5)  # what was drawn before fit() does not matter
    np.random.seed(5)
    first = fit(Interrupted(few, at_step=at_step), few, settings=kept)
    assert first.run.status is Status.INTERRUPTED
    assert first.run.stop_reason == f"interrupted in epoch {(at_step - 1) // 4 + 1}, after step {at_step - 1}"
    assert first.checkpoint is not None

    random.seed(77)  # a new process has other random states
    np.random.seed(77)
    torch.manual_seed(77)
    second = fit(Interrupted(few, at_step=None), few, settings=kept, resume=first.checkpoint)
    assert second.run.status is Status.FINISHED
    assert second.run.config.get("resumed_at_step", 0) == (at_step - 1) // 4 * 4  # the last whole epoch
    assert weights(second.model) == weights(whole.model)
    for name in ("val/loss", "val/accuracy", "best_step", "epochs", "steps", "test/accuracy"):
        assert second.run.result[name] == whole.run.result[name]
    ends = [torch.load(tmp_path / part / "checkpoint.pt", weights_only=True) for part in ("whole", "cut")]
    for part in ("model", "optimizer", "random", "stopping"):
        assert flat(ends[0][part]) == flat(ends[1][part])


def flat(value: object) -> object:
    if isinstance(value, Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [flat(item) for item in value]
    return value


def test_an_interrupted_run_is_judged_and_the_model_has_its_best_weights(few: Splits) -> None:
    model = Interrupted(few, at_step=14)
    run, _, path = fit(model, few, settings=SETTINGS)
    assert run.status is Status.INTERRUPTED
    assert path is None
    assert run.result["epochs"] == 3
    assert run.result["val/accuracy"] == run.curves.get("val/accuracy").values.max()
    assert not model.training


def test_a_finished_training_goes_on_when_more_epochs_are_asked_for(few: Splits, tmp_path: Path) -> None:
    long = fit(digits_model(few), few, settings=replace(SETTINGS, patience=99))
    short = fit(digits_model(few), few, settings=replace(SETTINGS, patience=99, epochs=3, folder=tmp_path))
    more = fit(digits_model(few), few, settings=replace(SETTINGS, patience=99), resume=short.checkpoint)
    assert weights(more.model) == weights(long.model)
    assert more.run.config["resumed_at_step"] == short.run.result["steps"]


def test_resuming_what_is_done_trains_no_further(few: Splits, tmp_path: Path) -> None:
    done = fit(digits_model(few), few, settings=replace(SETTINGS, folder=tmp_path))
    again = fit(digits_model(few, seed=5), few, settings=SETTINGS, resume=tmp_path)
    assert weights(again.model) == weights(done.model)
    assert again.run.result["steps"] == done.run.result["steps"]
    assert again.run.result["test/accuracy"] == done.run.result["test/accuracy"]


def test_other_settings_other_data_and_another_model_are_refused_by_name(few: Splits, tmp_path: Path) -> None:
    fit(digits_model(few), few, settings=replace(SETTINGS, folder=tmp_path, epochs=1))
    with pytest.raises(UserError, match=r"lr was 0\.01 and is 0\.1"):
        fit(digits_model(few), few, settings=replace(SETTINGS, lr=0.1), resume=tmp_path)
    other = split(load_data("digits").take(range(300)), seed=1)
    with pytest.raises(UserError, match="other samples"):
        fit(digits_model(other), other, settings=SETTINGS, resume=tmp_path)
    with pytest.raises(UserError, match="another model"):
        fit(mlp(64, 10), few, settings=SETTINGS, resume=tmp_path)
    with pytest.raises(UserError, match="there is no checkpoint"):
        fit(digits_model(few), few, settings=SETTINGS, resume=tmp_path / "nowhere")


def test_a_refused_checkpoint_is_not_overwritten(few: Splits, tmp_path: Path) -> None:
    kept = replace(SETTINGS, folder=tmp_path, epochs=1)
    path = fit(digits_model(few), few, settings=kept).checkpoint
    assert path is not None
    before = path.read_bytes()
    with pytest.raises(UserError):
        fit(digits_model(few), few, settings=replace(kept, lr=0.5), resume=path)
    assert path.read_bytes() == before
