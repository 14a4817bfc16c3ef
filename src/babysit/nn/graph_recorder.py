"""The graph of a forward pass recorded on real data, for models that cannot be traced symbolically."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from babysit.records.errors import UserError


def run_graph(model: nn.Module, x: Tensor, *, is_leaf: Callable[[nn.Module, str], bool]) -> fx.Graph:
    """Record the graph of the model on x in eval mode: one node per leaf module or function, linked to its inputs.

    Records only the path through the model taken for x. Raises UserError when the model fails on x.
    """
    recorder = _Recorder()
    handles = []
    for name, module in model.named_modules():
        if is_leaf(module, name):
            handles.append(module.register_forward_pre_hook(recorder.enter, with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.leave(name), with_kwargs=True))
    try:
        with isolated_run(model, x), recorder:
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return recorder.graph


@contextmanager
def isolated_run(model: nn.Module, x: Tensor) -> Iterator[None]:
    """Run in eval mode without gradients and restore all but weights on exit, see `preserve_state`.

    An exception inside becomes a UserError about x.
    """
    try:
        with preserve_state(model), torch.no_grad():
            model.eval()
            yield
    except UserError:
        raise
    except Exception as problem:
        raise UserError(
            f"the model fails on inputs of the shape {tuple(x.shape)}: {type(problem).__name__}: {problem}",
            do="Give a batch of real inputs",
        ) from problem


@contextmanager
def preserve_state(model: nn.Module) -> Iterator[None]:
    """Restore what a forward pass changes: modes, buffers, module attributes, and the random state.

    Weights and non-tensor contents of attributes are not restored.
    """
    buffers = [(value, value.clone()) for value in model.buffers()]
    attributes = [(module, dict(module.__dict__), dict(module._buffers)) for module in model.modules()]
    try:
        with torch.random.fork_rng(devices=()):
            yield
    finally:
        for module, own, own_buffers in attributes:
            module.__dict__.clear()
            module.__dict__.update(own)
            module._buffers.clear()
            module._buffers.update(own_buffers)
        with torch.no_grad():
            for value, before in buffers:
                value.copy_(before)


@final
class _Recorder(TorchFunctionMode):
    """Records every function called outside leaf modules, and every leaf module, as graph nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self._made: dict[int, fx.Node] = {}  # by the identity of the output tensor
        self._references: list[Tensor] = []  # references that prevent the reuse of identities
        self._depth = 0  # nesting of the leaf modules being executed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._depth == 0:
            self._note("call_function", func, (args, kwargs or {}), result)
        return result

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._depth += 1

    def leave(self, name: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            self._depth -= 1
            if self._depth == 0:
                self._note("call_module", name, (args, kwargs), result)

        return hook

    def _note(self, kind: str, target: Any, given: Any, result: Any) -> None:
        outputs = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        if not outputs:
            return
        used = [self._made.get(id(value)) if isinstance(value, Tensor) else value for value in tree_leaves(given)]
        node = self.graph.create_node(kind, target, tuple(u for u in used if isinstance(u, fx.Node | int | float)))
        for value in outputs:
            self._made[id(value)] = node
            self._references.append(value)
