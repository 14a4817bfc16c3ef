"""Patches and hooks on torch that report training events; all removed when the last watch closes.

Nothing is wrapped inside the model. A listener may request a lower level: patches with overhead in every step are
removed while no listener needs them. Exceptions of a listener are passed to its `on_problem` and do not propagate;
those of torch and the user's code pass unchanged.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import has_torch_function

from babysit.monitor.events import EventHandler
from babysit.monitor.patch import Hook, Patch

# Id of the backward pass running on this thread; the private function is also used by torch.utils.checkpoint.
_running_backward: Callable[[], int] = torch._C._current_graph_task_id
_NONE: Final = -1

# Levels of a listener: optimizer steps only; backward passes too; all events. Events that do not occur in every step
# are always reported.
STEPS: Final = 0
LOSSES: Final = 1
ALL: Final = 2

# A tuple, replaced and never mutated: a running call keeps the listeners it started with.
_listeners: tuple[EventHandler, ...] = ()
_levels: dict[int, int] = {}  # level of each listener, by its id
_level = ALL
_installed: list[Patch | Hook] = []
_backward_patches: list[Patch | Hook] = []  # the subset for the level LOSSES
_step_patches: list[Patch | Hook] = []  # the subset for the level ALL
_lock = threading.RLock()
_suppressed = 0  # running calls of torch functions that disable gradients internally


def subscribe(listener: EventHandler) -> None:
    """Add a listener at the level ALL."""
    global _listeners
    with _lock:
        if not _installed:
            _create_patches()
        if all(other is not listener for other in _listeners):
            _listeners = (*_listeners, listener)
        _levels[id(listener)] = ALL
        for patch in _installed:
            patch.put()
        _adjust()


def unsubscribe(listener: EventHandler) -> None:
    """Remove a listener; removing the last one restores torch."""
    global _listeners
    with _lock:
        _listeners = tuple(other for other in _listeners if other is not listener)
        _levels.pop(id(listener), None)
        _adjust()
        if not _listeners:
            for patch in reversed(_installed):
                patch.undo()


def set_level(listener: EventHandler, level: int) -> None:
    """Set the level of a listener to STEPS, LOSSES or ALL; it may receive more if others request it."""
    if id(listener) in _levels:
        _levels[id(listener)] = level
        _adjust()


def unsubscribe_all() -> None:
    """Restore torch in a forked child, with a new lock, since another thread may have held the old one."""
    global _listeners, _lock, _level, _suppressed
    _lock = threading.RLock()
    _listeners, _level, _suppressed = (), ALL, 0
    _levels.clear()
    for patch in reversed(_installed):
        patch.undo()


def _adjust() -> None:
    # Lock-free, because a signal handler that trains or evaluates may re-enter. Loop until the level is stable.
    global _level
    while _level != (wanted := max(_levels.values(), default=ALL)):
        for least, patches in ((LOSSES, _backward_patches), (ALL, _step_patches)):
            if (_level >= least) != (wanted >= least):
                for patch in patches:
                    if wanted >= least:
                        patch.put()
                    else:
                        patch.undo()
        _level = wanted


def _create_patches() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    # Tensor.backward calls it; patching only this one adds one Python call per backward pass instead of two.
    _backward_patches[:] = [Patch(torch.autograd, "backward", _backward)]
    _step_patches[:] = [
        Hook(register_optimizer_step_pre_hook, _before_step),
        Patch(torch.optim.Optimizer, "zero_grad", _zero_grad),
    ]
    _installed.extend([
        Hook(register_optimizer_step_post_hook, _after_step),
        *_backward_patches,
        *_step_patches,
        Patch(torch.autograd, "grad", _grad),
        Patch(torch.optim.Optimizer, "__init__", _optimizer),
        Patch(nn.Module, "zero_grad", _zero_grad),
        Patch(nn.Module, "train", _mode),
        Patch(torch.no_grad, "__enter__", _gradient_off),
        Patch(torch.no_grad, "__exit__", _gradient_on),
        # Only as a context manager: every optimizer calls it as a function in each step, which stays without overhead.
        Patch(torch.set_grad_enabled, "__enter__", _gradient_switch),
        Patch(torch.set_grad_enabled, "__exit__", _gradient_switch),
        Patch(torch.inference_mode, "__enter__", _gradient_off),
        Patch(torch.inference_mode, "__exit__", _gradient_on),
        Patch(torch.nn.utils, "clip_grad_norm_", _clip),
        Patch(torch.amp.GradScaler, "scale", _scale),
        Patch(torch, "compile", _compile),
        Patch(nn.Module, "compile", _compile),
    ])  # fmt: skip


def _notify(event: str, *args: Any, **kwargs: Any) -> None:
    """Call a method of every listener; events of every step inline this to avoid the call."""
    for listener in _listeners:
        try:
            getattr(listener, event)(*args, **kwargs)
        except Exception as problem:
            listener.on_problem(event.removeprefix("on_").replace("_", " "), problem)


def _has_closure(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return (len(args) > 1 and args[1] is not None) or (bool(kwargs) and kwargs.get("closure") is not None)


def _before_step(optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for listener in _listeners:
        try:
            listener.on_before_step(optimizer, closure=_has_closure(args, kwargs))
        except Exception as problem:
            listener.on_problem("before step", problem)


def _after_step(optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for listener in _listeners:
        try:
            if _level < ALL:
                listener.on_step_counted(optimizer)
            else:
                listener.on_after_step(optimizer, closure=_has_closure(args, kwargs))
        except Exception as problem:
            listener.on_problem("after step", problem)


def _begins(tensors: Any) -> bool:
    return _running_backward() == _NONE and not has_torch_function(tensors if type(tensors) is tuple else (tensors,))


def _backward(original: Callable[..., Any]) -> Callable[..., Any]:
    """Report a backward pass once: not nested ones (checkpointing), nor calls that a mode will repeat."""

    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        # The first condition of `_begins`, inlined because this runs in every step.
        if _running_backward() == _NONE:
            for listener in _listeners:
                try:
                    if not has_torch_function(tensors if type(tensors) is tuple else (tensors,)):
                        listener.on_backward(tensors, args[0] if args else kwargs.get("grad_tensors"))
                except Exception as problem:
                    listener.on_problem("backward", problem)
        return original(tensors, *args, **kwargs)

    return backward


def _grad(original: Callable[..., Any]) -> Callable[..., Any]:
    """Report `autograd.grad` like a backward pass if it differentiates with respect to several weights."""

    def grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        for listener in _listeners:
            try:
                # Higher-order gradients are not a training step.
                if not kwargs.get("create_graph") and _are_weights(inputs) and _begins(outputs):
                    listener.on_backward(outputs, args[0] if args else kwargs.get("grad_outputs"), adds=False)
            except Exception as problem:
                listener.on_problem("gradients by name", problem)
        return original(outputs, inputs, *args, **kwargs)

    return grad


def _are_weights(inputs: Any) -> bool:
    """Check whether the inputs are several leaves; a single one indicates a saliency map or a gradient penalty."""
    several = isinstance(inputs, list | tuple) and len(inputs) > 1
    return several and all(isinstance(one, Tensor) and one.is_leaf for one in inputs)


def _zero_grad(original: Callable[..., Any]) -> Callable[..., Any]:
    def zero_grad(self: Any, *args: Any, **kwargs: Any) -> Any:
        _notify("on_zero_grad", self)
        return original(self, *args, **kwargs)

    return zero_grad


def _optimizer(original: Callable[..., Any]) -> Callable[..., Any]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  replaces Optimizer.__init__
        original(self, *args, **kwargs)
        _notify("on_optimizer", self)

    return __init__


def _gradient_switch(original: Callable[..., Any]) -> Callable[..., Any]:
    """Report start and end of a `with torch.set_grad_enabled(False)` block."""
    event = "on_gradient_off" if original.__name__ == "__enter__" else "on_gradient_on"

    def switch(self: Any, *args: Any) -> Any:
        if not self.mode:
            _notify(event)
        return original(self, *args)

    return switch


def _gradient_off(original: Callable[..., Any]) -> Callable[..., Any]:
    def __enter__(self: Any) -> Any:  # noqa: N807  replaces no_grad.__enter__
        result = original(self)
        if not _suppressed:
            _notify("on_gradient_off")
        return result

    return __enter__


def _gradient_on(original: Callable[..., Any]) -> Callable[..., Any]:
    def __exit__(self: Any, *args: Any) -> Any:  # noqa: N807  replaces no_grad.__exit__
        if not _suppressed:
            _notify("on_gradient_on")
        return original(self, *args)

    return __exit__


def _scale(original: Callable[..., Any]) -> Callable[..., Any]:
    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        _notify("on_scale", outputs, scaled)
        return scaled

    return scale


def _compile(original: Callable[..., Any]) -> Callable[..., Any]:
    def compile(*args: Any, **kwargs: Any) -> Any:
        _notify("on_compile", args[0] if args else kwargs.get("model"))
        return original(*args, **kwargs)

    return compile


def _mode(original: Callable[..., Any]) -> Callable[..., Any]:
    def train(self: nn.Module, mode: bool = True) -> nn.Module:  # noqa: FBT001, FBT002  signature of nn.Module.train
        _notify("on_mode", self, training=mode)
        result: nn.Module = original(self, mode)
        return result

    return train


def _clip(original: Callable[..., Any]) -> Callable[..., Any]:
    def clip_grad_norm_(parameters: Any, max_norm: float, *args: Any, **kwargs: Any) -> Any:
        global _suppressed
        _suppressed += 1
        try:
            norm = original(parameters, max_norm, *args, **kwargs)
        finally:
            _suppressed -= 1
        _notify("on_clip", norm, max_norm)
        return norm

    return clip_grad_norm_


def compiled_frames() -> int:
    """Return the number of frames that torch.compile has compiled in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return sum(dynamo.counters["frames"].values()) if dynamo is not None else 0
