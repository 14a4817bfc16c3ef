"""Classification of torch functions by their names in a TorchFunctionMode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from torch import Tensor

from babysit.records.losses import LOSS_INPUTS

# Python operators, without their underscores, by operation.
_SPOKEN: Final = {
    "radd": "add", "iadd": "add", "sub": "sub", "isub": "sub", "subtract": "sub",
    "rmul": "mul", "imul": "mul", "multiply": "mul", "truediv": "div", "rtruediv": "div", "itruediv": "div",
    "divide": "div", "true_divide": "div", "rpow": "pow", "ipow": "pow", "rmatmul": "matmul", "negative": "neg",
    "square": "pow", "absolute": "abs", "clip": "clamp", "clamp_min": "clamp", "clamp_max": "clamp",
    "special_expit": "sigmoid", "expit": "sigmoid", "special_log_softmax": "log_softmax", "special_softmax": "softmax",
    "swish": "silu", "_softmax": "softmax", "concat": "cat", "concatenate": "cat",
}  # fmt: skip

WEIGHTED: Final = frozenset({
    "linear", "bilinear", "matmul", "mm", "bmm", "addmm", "addmv", "mv", "baddbmm", "einsum", "tensordot", "dot",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "embedding", "embedding_bag", "gru", "lstm", "rnn_tanh", "rnn_relu", "gru_cell", "lstm_cell", "rnn_tanh_cell",
    "rnn_relu_cell", "multi_head_attention_forward",
})  # fmt: skip

RECURRENT: Final = frozenset({"gru", "lstm", "rnn_tanh", "rnn_relu"})

NORMS: Final = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"})

CONVOLUTIONAL: Final = frozenset({
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "batch_norm", "instance_norm", "group_norm",
})  # fmt: skip

ACTIVATIONS: Final = frozenset({
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus",
    "tanh", "sigmoid", "hardtanh", "hardsigmoid", "hardswish", "softsign", "logsigmoid", "softmax", "log_softmax",
    "threshold", "sin",
})  # fmt: skip

# Losses that contain the last layer have their target at another position; those that call a user's function consist
# of the operations in it.
LOSSES: Final = frozenset(LOSS_INPUTS) - {"linear_cross_entropy", "triplet_margin_with_distance_loss"}

# Operations between the last layer and the loss that carry no information.
TRANSPARENT: Final = frozenset({
    "view", "reshape", "squeeze", "unsqueeze", "flatten", "contiguous", "float", "double", "to", "type", "clone",
    "permute", "transpose", "t", "expand", "expand_as", "view_as", "reshape_as", "unflatten", "movedim", "half",
    "bfloat16", "requires_grad", "stack", "cat", "alias", "type_as", "ravel", "chunk", "split", "unbind",
})  # fmt: skip

# Operations that may combine prediction and target in a hand-written loss.
MEETINGS: Final = frozenset({"sub", "rsub", "mul", "div", "gather", "getitem", "where", "dot", "pow", "index_select"})

# Operations whose result belongs to no single layer if they combine two results of the model.
MIXERS: Final = frozenset({"matmul", "bmm", "mm", "mul", "div", "einsum", "baddbmm", "scaled_dot_product_attention"})

# Elementwise operations: a parameter used only in these has one value per input value and no fan-in.
ELEMENTWISE: Final = frozenset({"mul", "div", "add", "sub", "rsub", "cat", "stack", "where", "maximum", "minimum"})

# Operations that take values out of the graph and return no tensor.
TAKING: Final = frozenset({"item", "tolist", "numpy", "array", "float", "int", "bool", "complex", "index"})
READ_DATA: Final[Any] = Tensor.data.__get__  # type: ignore[attr-defined]  # the getter of `tensor.data`

_names: dict[Callable[..., Any], str] = {}


def operation_name(function: Callable[..., Any]) -> str:
    """Return the plain name: `relu` for F.relu, Tensor.relu_ and torch.relu; "" for non-computing functions."""
    name = _names.get(function)
    if name is None:
        raw = getattr(function, "__name__", "")
        plain = "" if raw in {"__get__", "__set__"} else raw.strip("_")
        name = _names[function] = _SPOKEN.get(plain, plain)
    return name
