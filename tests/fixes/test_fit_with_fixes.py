from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import Splits, split
from babysit.fixes.apply import Setup, apply
from babysit.fixes.fit_with_fixes import try_fixes_of_fit
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Fix, Severity
from babysit.records.model_summary import Task
from babysit.training.settings import FitSettings


@pytest.fixture(scope="module")
def digits() -> Splits:
    return split(load_data("digits"), seed=0)


def finding(*fixes: Fix) -> Finding:
    return Finding(code="U602", name="lr-too-low", severity=Severity.WARNING, fixes=fixes)


def setup_of(model: nn.Module, splits: Splits) -> Setup:
    return Setup(model, FitSettings(lr=0.01, weight_decay=0.1, batch_size=32, epochs=10, patience=8), splits)


@pytest.mark.slow
def test_a_fit_with_a_lr_a_hundred_times_too_low_is_cured_by_what_its_finding_proposes(digits: Splits):
    preprocess = Standardize.fit(digits.train.x)
    trials = try_fixes_of_fit(
        lambda: nn.Sequential(preprocess, mlp(64, 10)),
        digits,
        settings=FitSettings(lr=3e-5, epochs=3, device="cpu"),
        findings=[
            finding(
                Fix(action="set_loss", value="mse", say="Use another loss."),
                Fix(action="set_weight_decay", value=0.0),
                Fix(action="set_batch_size", value=200.0),
                Fix(action="scale_lr", value=10.0),
            )
        ],
    )
    best, *others = trials
    assert best.fix.action == "scale_lr"
    assert best.fix.value == 100.0  # ten times was proposed, and is tried twice over
    assert best.helped
    assert best.gain is not None
    assert best.gain > 0.3
    assert best.proposed_by == ("U602",)
    assert "Multiply the learning rate by 100: accuracy +0." in best.say
    # the same training again proves nothing, so it neither costs time nor widens an interval
    problems = {trial.fix.action: trial.problem for trial in others if trial.problem}
    assert set(problems) == {"set_loss", "set_weight_decay"}
    assert problems["set_weight_decay"] == "nothing to try: weight decay is 0.0 already"
    assert "keeps the loss of the task" in problems["set_loss"]


@pytest.mark.parametrize(
    ("fix", "field", "expected"),
    [
        (Fix(action="scale_lr", value=0.1), "lr", 0.001),
        (Fix(action="set_lr", value=0.5), "lr", 0.5),
        (Fix(action="set_weight_decay", value=0.0), "weight_decay", 0.0),
        (Fix(action="scale_weight_decay", value=10.0), "weight_decay", 1.0),
        (Fix(action="set_optimizer", value="SGD"), "optimizer", "sgd"),
        (Fix(action="set_batch_size", value=7.0), "batch_size", 7),
        (Fix(action="scale_batch_size", value=2.0), "batch_size", 64),
        (Fix(action="set_epochs", value=3.0), "epochs", 3),
        (Fix(action="more_epochs"), "epochs", 20),
        (Fix(action="stop_earlier"), "patience", 4),
    ],
)
def test_settings_are_treated(fix: Fix, field: str, expected: object, digits: Splits):
    treated = apply(fix, setup_of(mlp(64, 10), digits))
    assert getattr(treated.settings, field) == pytest.approx(expected)


def test_changing_to_adam_brings_adams_own_lr(digits: Splits):
    setup = Setup(mlp(64, 10), FitSettings(lr=0.1, optimizer="sgd"), digits)
    treated = apply(Fix(action="set_optimizer", value="Adam"), setup)
    assert (treated.settings.optimizer, treated.settings.lr) == ("adam", 1e-3)


def test_symmetric_weights_are_drawn_anew(digits: Splits):
    model = mlp(64, 10)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    apply(Fix(action="initialize", value="auto"), setup_of(model, digits))
    assert float(model[0].weight.detach().std()) == pytest.approx((2 / 64) ** 0.5, rel=0.1)


def test_biases_alone_and_the_last_layer_alone_can_be_initialized(digits: Splits):
    model = mlp(64, 10)
    first = model[0].weight.detach().clone()
    apply(Fix(action="initialize", target="bias", value=0.01), setup_of(model, digits))
    assert torch.equal(model[0].bias, torch.full((64,), 0.01))
    apply(Fix(action="initialize", target="output"), setup_of(model, digits))
    assert float(model[-1].weight.detach().std()) == pytest.approx(0.01, rel=0.3)
    assert torch.equal(model[0].weight, first)


def test_hidden_activations_are_replaced_and_the_output_is_not(digits: Splits):
    model = nn.Sequential(mlp(64, 10), nn.Sigmoid())
    apply(Fix(action="replace_activation", value="leaky_relu"), setup_of(model, digits))
    kinds = [type(module).__name__ for module in model.modules()]
    assert kinds.count("LeakyReLU") == 2
    assert "ReLU" not in kinds
    assert kinds[-1] == "Sigmoid"


def test_a_softmax_at_the_output_is_removed(digits: Splits):
    model = nn.Sequential(mlp(64, 10), nn.Softmax(dim=1))
    treated = apply(Fix(action="remove_output_activation"), setup_of(model, digits))
    assert type(treated.model[-1]) is nn.Identity
    with pytest.raises(UserError, match="Linear, not an activation"):
        apply(Fix(action="remove_output_activation"), setup_of(mlp(64, 10), digits))


@pytest.mark.parametrize("action", ["standardize_input", "center_input"])
def test_inputs_are_preprocessed_by_the_training_samples(action: str, digits: Splits):
    treated = apply(Fix(action=action), setup_of(mlp(64, 10), digits))
    x = treated.model[0](digits.train.x)
    assert float(x.mean(dim=0).abs().max()) < 1e-4
    assert treated.model(digits.train.x).shape == (len(digits.train), 10)


def test_batch_norm_is_put_between_the_layers(digits: Splits):
    treated = apply(Fix(action="insert_batch_norm"), setup_of(mlp(64, 10), digits))
    assert sum(isinstance(module, nn.BatchNorm1d) for module in treated.model.modules()) == 2


def test_a_setting_that_is_there_already_is_not_tried(digits: Splits):
    with pytest.raises(UserError, match="batch size is 32 already"):
        apply(Fix(action="set_batch_size", value=32.0), setup_of(mlp(64, 10), digits))


def test_dropout_is_set_where_there_is_some(digits: Splits):
    model = mlp(64, 10, dropout=0.5)
    apply(Fix(action="set_dropout", value=0.2), setup_of(model, digits))
    assert {layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)} == {0.2}
    with pytest.raises(UserError, match="no dropout layer"):
        apply(Fix(action="set_dropout", value=0.2), setup_of(mlp(64, 10), digits))


def test_targets_of_a_regression_are_standardized_by_the_training_samples(digits: Splits):
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    samples = Samples(x=x, y=1000 + 50 * x[:, :1], task=Task.REGRESSION, kind="table")
    splits = Splits(train=samples.take(range(40)), validation=samples.take(range(40, 50)), test=samples)
    treated = apply(Fix(action="standardize_target"), setup_of(mlp(3, 1), splits)).splits
    assert float(treated.train.y.mean()) == pytest.approx(0, abs=1e-4)
    assert float(treated.train.y.std()) == pytest.approx(1, abs=1e-4)
    assert torch.allclose(treated.validation.y, (splits.validation.y - splits.train.y.mean()) / splits.train.y.std())
    with pytest.raises(UserError, match="cannot be standardized"):
        apply(Fix(action="standardize_target"), setup_of(mlp(64, 10), digits))


@pytest.mark.parametrize(
    "fix",
    [
        Fix(action="guard"),
        Fix(action="scale_lr", value="much"),
        Fix(action="scale_lr"),
        Fix(action="replace_activation", value="maxout"),
        Fix(action="replace_activation", value="relo"),
        Fix(action="initialize", value="lucky"),
    ],
)
def test_what_cannot_be_applied_is_a_user_error_in_one_line(fix: Fix, digits: Splits):
    with pytest.raises(UserError) as caught:
        apply(fix, setup_of(mlp(64, 10), digits))
    assert "\n" not in str(caught.value)


def test_ctrl_c_during_a_treated_fit_ends_the_trials(digits: Splits, monkeypatch: pytest.MonkeyPatch):
    from babysit.training import fit as fit_module

    fitted = []
    fit, evaluate = fit_module.fit, fit_module.evaluate

    def noted_fit(*arguments: Any, settings: FitSettings) -> Any:
        fitted.append(settings.lr)
        return fit(*arguments, settings=settings)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if fitted[-1] == 1e-2:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    monkeypatch.setattr(fit_module, "fit", noted_fit)
    monkeypatch.setattr(fit_module, "evaluate", interrupted)
    trials = try_fixes_of_fit(
        lambda: mlp(64, 10),
        digits,
        settings=FitSettings(epochs=1, lr=1e-4, device="cpu"),
        findings=[finding(*(Fix(action="set_lr", value=lr) for lr in (1e-3, 1e-2, 1e-1)))],
    )
    assert fitted == [1e-4] * 3 + [1e-3] * 3 + [1e-2]
    assert [trial.fix.value for trial in trials] == [1e-3, 1e-2, 1e-1]
    assert [trial.problem for trial in trials[1:]] == ["interrupted before it was finished"] * 2
