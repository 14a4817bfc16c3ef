"""Model summary: layers in execution order, objectives and optimizers."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Task(StrEnum):
    """Type of task, inferred from outputs and targets."""

    CLASSES = "classes"
    BINARY = "binary"
    MULTILABEL = "multilabel"
    REGRESSION = "regression"
    SEQUENCE = "sequence"
    RECONSTRUCTION = "reconstruction"
    UNKNOWN = "unknown"


class TargetKind(StrEnum):
    """Kind of values of a target."""

    INDICES = "indices"  # class indices
    ONE_HOT = "one-hot"  # rows of zeros with a single one
    ZERO_ONE = "zero-one"  # only 0 and 1, not one-hot
    PROBABILITIES = "probabilities"  # within [0, 1], rows sum to one
    UNIT_RANGE = "unit-range"  # within [0, 1]
    REAL = "real"
    NONE = "none"  # no target (a loss of the output alone)


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer with parameters, in execution order."""

    name: str  # as in model.named_modules(), or the name of a parameter that no module holds
    kind: str  # class name (Linear, Conv2d, BatchNorm1d, …), or "matmul" for a parameter that no module holds
    order: int  # position in the first forward pass, from 0
    parameter_names: tuple[str, ...] = ()
    parameters: int = 0  # number of values
    weight_shape: tuple[int, ...] = ()
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    fan_in: int = 0  # inputs of one unit; 0 if not defined for this kind
    has_bias: bool = False
    trainable: bool = True
    activation: str = ""  # activation before the next layer: relu, tanh, sigmoid, …; "gate" if it only scales
    norm: bool = False  # whether this is a normalization layer
    is_output: bool = False  # the last layer before the loss
    source: str = ""  # the layer whose output, after its activation, is the input here unchanged; "" if not known
    dropout: float = 0.0  # probability of the dropout before the next layer
    momentum: float | None = None  # of a batch norm's running averages; None for other layers, or a cumulative mean
    softmax_size: int = 0  # largest size of a softmax over its output; 0 without one
    batch_axis: int = 0  # the axis that the layer treats as the batch (1: recurrent or attention, time first)


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """One step between the last layer and the loss, or inside the loss."""

    name: str  # softmax, sigmoid, log_softmax, relu, log, clamp, dropout, mul, …
    dim: int | None = None  # the axis, if it has one
    size: int | None = None  # the size of that axis
    value: float | None = None  # its parameter, if it has one: the probability of a dropout


class ValueSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Summary statistics of a tensor when it was sampled."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    variance: float = 0.0
    distinct: int = 0  # number of distinct values, counted up to 1,000
    whole: bool = False  # every value is an integer
    rows_sum_to_one: bool = False
    nonfinite: int = 0


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """One loss with its input and target."""

    loss: str  # cross_entropy, nll_loss, mse_loss, l1_loss, binary_cross_entropy, …, or "custom"
    reduction: str = "mean"  # mean also for a sum that is divided by the number of its items
    scale: float | None = None  # the factor between the curve and the loss's mean by item; None when not known
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
    class_counts: tuple[int, ...] = ()  # labels seen so far by class, if the target holds classes
    outputs: int = 0  # units of the output: last axis, or the class axis of the prediction
    broadcast: bool = False  # prediction and target had different shapes and were broadcast
    sign: float = 1.0  # -1 if the loss is negated before backward
    task: Task = Task.UNKNOWN
    confidence: float = 0.0  # of the task, 0 to 1
    label_smoothing: float = 0.0
    class_weights: bool = False
    moving_target: bool = False  # the target is the output of a network (bootstrapped, or a teacher's), not data
    log_input: bool | None = None  # of a Poisson likelihood: whether its input is the logarithm of the rate
    batch_majority: float = 0.0  # mean fraction of a batch's most frequent class; 0 if not measured


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One summand of the scalar that backward is called on."""

    kind: str  # data (a target enters it), outputs (of the network's outputs alone), weights (of parameters alone)
    first: float = 0.0  # its value at the first step, sign included
    last: float = 0.0  # its value at the last sampled step


class ParameterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter group of an optimizer; None is a setting whose value is not a number."""

    lr: float | None = None  # also None for an optimizer without a learning rate
    weight_decay: float | None = 0.0
    momentum: float | None = 0.0
    betas: tuple[float, ...] = ()
    epsilon: float | None = 0.0
    parameters: int = 0
    tensors: int = 0
    dtype: str = ""  # of its parameters, the least precise if there are several


class OptimizerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One optimizer and its settings."""

    kind: str
    groups: tuple[ParameterGroup, ...] = ()
    parameter_names: tuple[str, ...] = ()
    maximize: bool = False
    steps: int | None = None  # steps taken; None if not counted
    stale: int = 0  # its parameters that no layer of the network uses
    cleared: bool | None = None  # whether its gradients were ever cleared through it or a module; None if not known


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The network, its objectives and its optimizers, captured from a training step."""

    model: str = ""
    layers: tuple[Layer, ...] = ()
    objectives: tuple[Objective, ...] = ()
    optimizers: tuple[OptimizerInfo, ...] = ()
    parameters: int = 0
    trainable_parameters: int = 0
    batch_size: int = 0
    unoptimized: tuple[str, ...] = ()  # trainable, and in no optimizer
    forgotten: tuple[str, ...] = ()  # those of them that received a gradient: some loss depends on them
    unreached: tuple[str, ...] = ()  # trainable and optimized, but no loss depends on them
    unused_outputs: tuple[str, ...] = ()  # layers whose output is not used by anything that was observed
    frozen: tuple[str, ...] = ()  # parameters that require no gradient
    idle_losses: tuple[str, ...] = ()  # layers whose loss was computed but took part in no backward
    unused_inputs: tuple[str, ...] = ()  # tensors that a model is called with and no loss depends on
    terms: tuple[Term, ...] = ()  # the summands of the first loss, if it is a sum
    compiled: bool = False
    mode_dependent: dict[str, str] = {}  # modules that differ between train and eval mode (`Dropout (p=0.5)`), by path

    def layer(self, name: str) -> Layer | None:
        """Return a layer by name, or None."""
        return next((layer for layer in self.layers if layer.name == name), None)
