"""Structure of the model: weight layers in order, output layer, and operations before the loss."""

from __future__ import annotations

from collections.abc import Iterable

from babysit.records.losses import LOSS_INPUTS
from babysit.records.model_summary import Layer, ModelSummary, Objective, Op, OptimizerInfo, TargetKind
from babysit.records.run import Run

# Operations that change neither the range nor the meaning of values.
PASSING = frozenset(
    [
        "view",
        "reshape",
        "squeeze",
        "unsqueeze",
        "flatten",
        "transpose",
        "permute",
        "contiguous",
        "clone",
        "float",
        "double",
        "half",
        "bfloat16",
        "to",
        "type",
        "type_as",
        "getitem",
        "__getitem__",
        "index",
        "select",
        "slice",
        "narrow",
        "t",
        "T",
        "mT",
        "movedim",
        "swapaxes",
        "expand",
        "expand_as",
        "clamp",
        "clip",
        "identity",
        "cat",
        "stack",
        "chunk",
        "split",
        "requires_grad_",
        "alias",
    ]
)
# Operations that convert values to probabilities or their logarithms; applying two is an error.
NORMALIZING = frozenset({"softmax", "sigmoid", "log_softmax", "logsigmoid"})
RECURRENT = frozenset({"LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"})
CLASS_LOSSES = frozenset({"cross_entropy", "nll_loss"})
BINARY_LOSSES = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
DISTANCE_LOSSES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
# Losses that cannot be negative for valid inputs.
BOUNDED_LOSSES = frozenset(name for name, loss in LOSS_INPUTS.items() if loss.never_negative)
SQUASHING = frozenset({"sigmoid", "tanh", "hardsigmoid", "hardtanh", "softsign"})
RECTIFYING = frozenset({"relu", "relu6", "relu_", "threshold", "dropout_relu"})
BATCH_NORMS = ("BatchNorm", "SyncBatchNorm", "LazyBatchNorm")


def model_summary_of(run: Run) -> ModelSummary:
    """Return the model summary of the run, or an empty one."""
    return run.model_summary or ModelSummary()


def main_objective(run: Run) -> Objective | None:
    """Return the first objective, or None."""
    return run.model_summary.objectives[0] if run.model_summary and run.model_summary.objectives else None


def only_data_term(run: Run) -> bool:
    """Check whether the first loss is the only data term; other terms (if any) are penalties.

    With an advantage or a weight per sample the loss is unreduced, so its mean is not the minimized quantity.
    """
    objective, terms = main_objective(run), model_summary_of(run).terms
    if objective is None or not objective.composite:
        return objective is not None and len(model_summary_of(run).objectives) == 1
    data = sum(term.kind == "data" for term in terms)
    single = len(model_summary_of(run).objectives) == 1 and objective.reduction != "none"
    return single and (data == 1 if terms else True)


def adversarial(run: Run) -> bool:
    """Check whether several optimizers train at the same time, as in a GAN: their losses need not decrease.

    This includes runs in which only one of them is monitored, since steps of others are counted.
    """
    watched = len([one for one in model_summary_of(run).optimizers if one.parameter_names or one.groups])
    return watched > 1 or 2 * run.events.counts.get("other_step", 0) > run.events.steps > 0


def known_settings(optimizers: Iterable[OptimizerInfo], name: str) -> list[float]:
    """Return the known values of a setting in the parameter groups of these optimizers."""
    values = (getattr(group, name) for one in optimizers for group in one.groups)
    return [value for value in values if value is not None]


def moving_target(run: Run) -> bool:
    """Check whether a network computes the target of a loss, as in temporal differences: it need not decrease."""
    return any(objective.moving_target for objective in model_summary_of(run).objectives)


def weight_layers(run: Run, *, trainable: bool = False) -> list[Layer]:
    """Return dense and convolution layers (weights with two or more axes and a fan-in) in execution order."""
    found = [
        layer
        for layer in model_summary_of(run).layers
        if layer.fan_in > 0 and not layer.norm and len(layer.weight_shape) >= 2 and "Embedding" not in layer.kind
    ]
    return [layer for layer in sorted(found, key=lambda one: one.order) if layer.trainable or not trainable]


def hidden_layers(run: Run) -> list[Layer]:
    """Return the weight layers except the output layer."""
    layers = weight_layers(run)
    if output_layer(run) is None:  # unknown loss: the last executed layer is closest to it
        return layers[:-1]
    return [layer for layer in layers if not layer.is_output]


def output_layer(run: Run) -> Layer | None:
    """Return the last layer before the loss, or None."""
    return next((layer for layer in reversed(model_summary_of(run).layers) if layer.is_output), None)


def is_batch_norm(layer: Layer) -> bool:
    """Check whether the layer normalizes over the batch."""
    return layer.kind.startswith(BATCH_NORMS)


def drop_shape_ops(output_ops: tuple[Op, ...]) -> tuple[Op, ...]:
    """Return the operations that change values, without those that change only the shape."""
    return tuple(operation for operation in output_ops if operation.name.rstrip("_") not in PASSING)


def last_operation(objective: Objective) -> Op | None:
    """Return the last operation on the output before the loss; None without one or if the loss is hand-written."""
    output_ops = drop_shape_ops(objective.output_ops)
    if objective.loss == "custom" or not output_ops:
        return None
    return output_ops[-1]


def manual_updates(objective: Objective) -> bool:
    """Check whether a likelihood loss was written with elementary operations, so that its name is a guess."""
    logarithm = any(step.name in {"log", "log_softmax", "logsigmoid"} for step in objective.output_ops)
    labels = (TargetKind.INDICES, TargetKind.ONE_HOT)
    named = objective.loss in BINARY_LOSSES or (objective.loss == "nll_loss" and objective.target_kind not in labels)
    return logarithm and named


def feeds_ids(run: Run) -> bool:
    """Check whether the first layer is an embedding, so that the scale of the inputs has no meaning."""
    layers = model_summary_of(run).layers
    return bool(layers) and "Embedding" in min(layers, key=lambda one: one.order).kind
