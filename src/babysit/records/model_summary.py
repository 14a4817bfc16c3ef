"""What the network and its objective are: layers in the order they run, output, loss, target, optimizer."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Task(StrEnum):
    """What the network is asked to do, inferred from its outputs and targets."""

    CLASSES = "classes"
    BINARY = "binary"
    MULTILABEL = "multilabel"
    REGRESSION = "regression"
    SEQUENCE = "sequence"
    RECONSTRUCTION = "reconstruction"
    UNKNOWN = "unknown"


class TargetKind(StrEnum):
    """What the values of the target look like."""

    INDICES = "indices"  # whole numbers that name a class
    ONE_HOT = "one-hot"  # rows of zeros with a single one
    ZERO_ONE = "zero-one"  # only 0 and 1, not one-hot
    PROBABILITIES = "probabilities"  # within [0, 1], rows sum to one
    UNIT_RANGE = "unit-range"  # within [0, 1]
    REAL = "real"
    NONE = "none"  # no target was seen (a loss of the output alone)


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One place of the network that holds parameters, in the order it runs."""

    name: str  # as in model.named_modules(), or the parameter's own name when no module holds it
    kind: str  # class name (Linear, Conv2d, BatchNorm1d, …), or "matmul" when no module holds the parameter
    order: int  # position in the first forward pass, from 0
    parameter_names: tuple[str, ...] = ()
    parameters: int = 0  # number of values
    weight_shape: tuple[int, ...] = ()
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    fan_in: int = 0  # inputs of one unit; 0 when it has no meaning for this kind
    has_bias: bool = False
    trainable: bool = True
    activation: str = ""  # what follows before the next layer: relu, tanh, sigmoid, …; "gate" where that only weighs
    norm: bool = False  # a normalization layer itself
    is_output: bool = False  # the last layer before the loss
    source: str = ""  # the layer whose output, its activation aside, comes in here unchanged; "" when not known
    dropout: float = 0.0  # learning rate of the dropout that follows before the next layer
    momentum: float | None = None  # of a batch norm's running averages; None for anything else, or a plain mean
    softmax_size: int = 0  # most values that a softmax over its output ever ran over; 0 without one
    batch_axis: int = 0  # the axis that the layer itself takes for the batch (1: recurrent or attention, time first)


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """One step between the last layer and the loss, or inside the loss."""

    name: str  # softmax, sigmoid, log_softmax, relu, log, clamp, dropout, mul, …
    dim: int | None = None  # the axis, for those that have one
    size: int | None = None  # how many values lie on that axis
    value: float | None = None  # its number, where it has one: the learning rate of a dropout


class ValueSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the values of a tensor looked like when it was seen."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    variance: float = 0.0
    distinct: int = 0  # number of different values, counted up to 1,000
    whole: bool = False  # every value is a whole number
    rows_sum_to_one: bool = False
    nonfinite: int = 0


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """One loss: what goes into it, what it is, and what it is asked to predict."""

    loss: str  # cross_entropy, nll_loss, mse_loss, l1_loss, binary_cross_entropy, …, or "custom"
    reduction: str = "mean"  # mean also for a sum that is divided by the number of its items
    scale: float | None = None  # the curve is so many times the loss's mean by item; None when not known
    composite: bool = False  # the curve holds other terms too, or weighs this loss with what may be negative
    # Its own mean by item, without factors and other terms: at the first look, over the last tenth of the looks, and
    # the lowest; None when it was not read.
    first_value: float | None = None
    last_value: float | None = None
    lowest_value: float | None = None
    output_ops: tuple[Op, ...] = ()  # from the last layer's output to the loss, in order
    prediction: ValueSummary = ValueSummary()
    target: ValueSummary = ValueSummary()
    target_kind: TargetKind = TargetKind.NONE
    class_counts: tuple[int, ...] = ()  # labels seen so far, by class, when the target names classes
    outputs: int = 0  # units of the output: last axis, or the class axis of the prediction
    broadcast: bool = False  # prediction and target had different shapes and were stretched to fit
    sign: float = 1.0  # -1 when the loss is negated before backward
    task: Task = Task.UNKNOWN
    confidence: float = 0.0  # 0 to 1, how sure the task is
    label_smoothing: float = 0.0
    class_weights: bool = False
    moving_target: bool = False  # the target was computed by a network (bootstrapped, or a teacher's), not read as data
    log_input: bool | None = (
        None  # of a Poisson likelihood: whether it takes its input for the logarithm of a learning rate
    )
    batch_majority: float = 0.0  # mean share of a batch's most frequent class; 0 when not measured


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One summand of the scalar that backward is called on."""

    kind: str  # data (a target enters it), outputs (of the network's outputs alone), weights (of parameters alone)
    first: float = 0.0  # its value at the first step, sign included
    last: float = 0.0  # and at the last step that was looked at


class ParameterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter group of an optimizer; None is a setting that is there and no number: it is not known."""

    lr: float | None = None  # also None where the optimizer has no learning rate at all
    weight_decay: float | None = 0.0
    momentum: float | None = 0.0
    betas: tuple[float, ...] = ()
    epsilon: float | None = 0.0
    parameters: int = 0
    tensors: int = 0
    dtype: str = ""  # of its parameters, the least precise when there are several


class OptimizerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One optimizer as it was made."""

    kind: str
    groups: tuple[ParameterGroup, ...] = ()
    parameter_names: tuple[str, ...] = ()
    maximize: bool = False
    steps: int | None = None  # steps it took; None when not counted
    stale: int = 0  # parameters it holds that no layer of the network uses
    cleared: bool | None = None  # whether its gradients were ever cleared through it or a module; None when not known


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The network, its objectives and its optimizers, captured from one real step."""

    model: str = ""
    layers: tuple[Layer, ...] = ()
    objectives: tuple[Objective, ...] = ()
    optimizers: tuple[OptimizerInfo, ...] = ()
    parameters: int = 0
    trainable_parameters: int = 0
    batch_size: int = 0
    unoptimized: tuple[str, ...] = ()  # trainable, and in no optimizer
    forgotten: tuple[str, ...] = ()  # those of them that received a gradient: some loss depends on them
    unreached: tuple[str, ...] = ()  # trainable and optimized, and the loss does not depend on them
    unused_outputs: tuple[str, ...] = ()  # layers that ran, and nothing that was seen depends on their output
    frozen: tuple[str, ...] = ()  # parameters that require no gradient
    idle_losses: tuple[str, ...] = ()  # layers whose loss was computed and took no part in any backward
    unused_inputs: tuple[str, ...] = ()  # tensors that a model is called with and no loss depends on
    terms: tuple[Term, ...] = ()  # the summands of the first loss, where it is a sum
    compiled: bool = False
    mode_dependent: dict[str, str] = {}  # what differs between train and eval mode (`Dropout (p=0.5)`), by its path

    def layer(self, name: str) -> Layer | None:
        """The layer of that name, or None."""
        return next((layer for layer in self.layers if layer.name == name), None)
