"""Application of a fix to the settings, the model or the data of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, final

from torch import nn

from babysit.data.samples import Samples
from babysit.data.splits import Splits
from babysit.fixes.manual import BY_HAND
from babysit.nn.activations import ACTIVATIONS, make_activation, width_factor
from babysit.nn.batch_norm import insert_batch_norm
from babysit.nn.initialize import initialize_
from babysit.nn.preprocess import Center, Standardize
from babysit.records.errors import UserError
from babysit.records.finding import Fix
from babysit.records.model_summary import Task
from babysit.training.settings import FitSettings

# Output activations that a loss already applies, or that exclude outputs the target needs.
_OUTPUT_ACTIVATIONS: Final = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.ReLU, nn.Softplus)

_WEIGHTED: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@final
@dataclass(frozen=True)
class Setup:
    """A training before its start; the model is new and may be modified in place."""

    model: nn.Module
    settings: FitSettings
    splits: Splits


def apply(fix: Fix, setup: Setup) -> Setup:
    """Return the training with the fix applied.

    Raises:
        UserError: the fix must be made manually, does not apply to this model, or is already in place.
    """
    action = ACTIONS.get(fix.action)
    if action is None:
        raise UserError(BY_HAND.get(fix.action, f"no trial knows how to {fix.action.replace('_', ' ')}"))
    return action(fix, setup)


def number(fix: Fix) -> float:
    """Return the fix's value as a number.

    Raises:
        UserError: it is not a number.
    """
    if fix.value is None or isinstance(fix.value, str):
        raise UserError(f"{fix.action} needs a number, not {fix.value!r}")
    return float(fix.value)


def _scale_lr(fix: Fix, setup: Setup) -> Setup:
    return _set(setup, lr=setup.settings.lr * number(fix))


def _set_lr(fix: Fix, setup: Setup) -> Setup:
    return _set(setup, lr=number(fix))


def _set_weight_decay(fix: Fix, setup: Setup) -> Setup:
    return _set(setup, weight_decay=number(fix))


def _scale_weight_decay(fix: Fix, setup: Setup) -> Setup:
    if setup.settings.weight_decay == 0:
        raise UserError("there is no weight decay to scale", do="Set one: set_weight_decay")
    return _set(setup, weight_decay=setup.settings.weight_decay * number(fix))


def _set_optimizer(fix: Fix, setup: Setup) -> Setup:
    name = str(fix.value).lower()
    # Learning rates are not comparable between optimizers; rules recommend Adam with its default.
    lr = 1e-3 if name in ("adam", "adamw") and setup.settings.optimizer != name else setup.settings.lr
    return _set(setup, optimizer=name, lr=lr)


def _set_batch_size(fix: Fix, setup: Setup) -> Setup:
    return _set(setup, batch_size=max(1, round(number(fix))))


def _scale_batch_size(fix: Fix, setup: Setup) -> Setup:
    return _set(setup, batch_size=max(1, round(setup.settings.batch_size * number(fix))))


def _set_epochs(fix: Fix, setup: Setup) -> Setup:
    return _set(setup, epochs=max(1, round(number(fix))))


def _more_epochs(fix: Fix, setup: Setup) -> Setup:
    factor = 2.0 if fix.value is None else number(fix)
    return _set(setup, epochs=max(1, round(setup.settings.epochs * factor)))


def _stop_earlier(fix: Fix, setup: Setup) -> Setup:
    patience = setup.settings.patience / 2 if fix.value is None else number(fix)
    return _set(setup, patience=max(1, round(patience)))


def _initialize(fix: Fix, setup: Setup) -> Setup:
    """Initialize the model by a scheme, all biases to a value, or the last layer small to start near chance level."""
    layers = [layer for layer in setup.model.modules() if isinstance(layer, _WEIGHTED)]
    match fix.target:
        case "bias":
            for layer in layers:
                if layer.bias is not None:
                    nn.init.constant_(layer.bias, 0.0 if fix.value is None else number(fix))
        case "output":
            if not layers:
                raise UserError("the model has no dense or convolutional layer to initialize")
            nn.init.normal_(layers[-1].weight, std=0.01)
            if layers[-1].bias is not None:
                nn.init.zeros_(layers[-1].bias)
        case _:
            scheme = str(fix.value or "auto")
            # He initialization is proposed against dead units, with a small positive bias that keeps them active.
            initialize_(setup.model, scheme, relu_bias=0.01 if scheme == "he" else 0.0)
    return setup


def _replace_activation(fix: Fix, setup: Setup) -> Setup:
    """Replace every activation between layers; the one after the last layer is unchanged."""
    name = str(fix.value)
    if name in ACTIVATIONS and width_factor(name) != 1:
        raise UserError(f"{name} needs wider layers", do="Build the model with it")
    known = tuple(kind for kind in ACTIVATIONS.values() if isinstance(kind, type))
    places = [place for place in _leaves(setup.model)[:-1] if isinstance(place[2], known)]
    if not places:
        raise UserError("the model has no activation modules to replace", do="Change its forward by hand")
    for parent, child, _ in places:
        setattr(parent, child, make_activation(name))
    return setup


def _remove_output_activation(fix: Fix, setup: Setup) -> Setup:
    del fix
    parent, child, last = _leaves(setup.model)[-1]
    if not isinstance(last, _OUTPUT_ACTIVATIONS):
        raise UserError(
            f"the last module of the model is {type(last).__name__}, not an activation", do="Remove it from its forward"
        )
    setattr(parent, child, nn.Identity())
    return setup


def _insert_batch_norm(fix: Fix, setup: Setup) -> Setup:
    del fix
    # Two samples, the minimum for BatchNorm; they only determine shapes.
    return replace(setup, model=insert_batch_norm(setup.model, x=setup.splits.train.x[:2]))


def _standardize_input(fix: Fix, setup: Setup) -> Setup:
    del fix
    return replace(setup, model=nn.Sequential(Standardize.fit(setup.splits.train.x), setup.model))


def _center_input(fix: Fix, setup: Setup) -> Setup:
    del fix
    return replace(setup, model=nn.Sequential(Center.fit(setup.splits.train.x), setup.model))


def _standardize_target(fix: Fix, setup: Setup) -> Setup:
    """Standardize by the training targets; explained variance, which ranks the fixes, is independent of their unit."""
    del fix
    train = setup.splits.train
    if train.task is not Task.REGRESSION:
        raise UserError(f"the targets are {train.task.value}, which cannot be standardized")
    mean, deviation = train.y.mean(dim=0), train.y.std(dim=0).clamp_min(1e-12)

    def treated(samples: Samples) -> Samples:
        return replace(samples, y=(samples.y - mean) / deviation)

    splits = replace(
        setup.splits,
        train=treated(train),
        validation=treated(setup.splits.validation),
        test=treated(setup.splits.test),
    )
    return replace(setup, splits=splits)


def _set_dropout(fix: Fix, setup: Setup) -> Setup:
    layers = [layer for layer in setup.model.modules() if isinstance(layer, nn.modules.dropout._DropoutNd)]
    if not layers:
        raise UserError("the model has no dropout layer to set", do="Build it with dropout")
    for layer in layers:
        layer.p = number(fix)
    return setup


def _leaves(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Return parent, name and module of all modules without children, in order of registration."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if not any(True for _ in child.children())
    ]
    order = {id(module): place for place, module in enumerate(model.modules())}
    found.sort(key=lambda leaf: order[id(leaf[2])])
    if not found:
        raise UserError("the model is a single module, so there is nothing to change in it", do="Change it by hand")
    return found


def _set(setup: Setup, **fields: Any) -> Setup:
    """Change settings. Raises UserError if nothing changes, since that would repeat the same training."""
    settings = replace(setup.settings, **fields)
    if settings == setup.settings:
        had = ", ".join(f"{name.replace('_', ' ')} is {value} already" for name, value in fields.items())
        raise UserError(f"nothing to try: {had}")
    return replace(setup, settings=settings)


# Actions of records.finding.Fix that a trial can apply; manual.py lists the others.
ACTIONS: Final[dict[str, Callable[[Fix, Setup], Setup]]] = {
    "scale_lr": _scale_lr,
    "set_lr": _set_lr,
    "set_weight_decay": _set_weight_decay,
    "scale_weight_decay": _scale_weight_decay,
    "set_optimizer": _set_optimizer,
    "set_batch_size": _set_batch_size,
    "scale_batch_size": _scale_batch_size,
    "set_epochs": _set_epochs,
    "more_epochs": _more_epochs,
    "stop_earlier": _stop_earlier,
    "initialize": _initialize,
    "replace_activation": _replace_activation,
    "remove_output_activation": _remove_output_activation,
    "insert_batch_norm": _insert_batch_norm,
    "standardize_input": _standardize_input,
    "center_input": _center_input,
    "standardize_target": _standardize_target,
    "set_dropout": _set_dropout,
}
