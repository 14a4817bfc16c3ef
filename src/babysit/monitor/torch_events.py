"""The few places of torch that a watch listens to, all in one file, all put back when the last watch closes.

Nothing is wrapped inside the model. A listener may hear less for a while: what costs something in every step is taken
off when nobody wants to hear it. What a listener raises is handed back to it and goes no further; what torch and the
user's own code raise passes untouched.
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

# Which backward pass runs on this thread; torch's own checkpointing asks the same private function.
_running_backward: Callable[[], int] = torch._C._current_graph_task_id
_NONE: Final = -1

# How much a listener hears: of optimizers only that they have stepped; backward as well; or everything. What does not
# happen in every step is always heard.
STEPS: Final = 0
LOSSES: Final = 1
ALL: Final = 2

# A tuple, replaced as a whole: a call that is under way keeps the listeners it began with.
_listeners: tuple[EventHandler, ...] = ()
_wanted: dict[int, int] = {}  # how much each hears, by its identity
_heard = ALL
_installed: list[Patch | Hook] = []
_of_backward: list[Patch | Hook] = []  # those of them that listeners to losses need
_of_steps: list[Patch | Hook] = []  # and those that only listeners to everything do
_lock = threading.RLock()
_hushed = 0  # calls under way of torch's own that switch gradients off inside


def subscribe(listener: EventHandler) -> None:
    """Let a listener hear from now on."""
    global _listeners
    with _lock:
        if not _installed:
            _make()
        if all(other is not listener for other in _listeners):
            _listeners = (*_listeners, listener)
        _wanted[id(listener)] = ALL
        for patch in _installed:
            patch.put()
        _adjust()


def unsubscribe(listener: EventHandler) -> None:
    """Let it hear no more; the last one leaves torch as it was."""
    global _listeners
    with _lock:
        _listeners = tuple(other for other in _listeners if other is not listener)
        _wanted.pop(id(listener), None)
        _adjust()
        if not _listeners:
            for patch in reversed(_installed):
                patch.undo()


def set_level(listener: EventHandler, how_much: int) -> None:
    """Let a listener hear STEPS, LOSSES or ALL from now on; it may hear more when others want to."""
    if id(listener) in _wanted:
        _wanted[id(listener)] = how_much
        _adjust()


def unsubscribe_all() -> None:
    """Leave torch as it was, in a forked child: it listens to nothing, and another thread may have held the lock."""
    global _listeners, _lock, _heard, _hushed
    _lock = threading.RLock()
    _listeners, _heard, _hushed = (), ALL, 0
    _wanted.clear()
    for patch in reversed(_installed):
        patch.undo()


def _adjust() -> None:
    # Without a lock, which a signal's handler would wait for that trains or evaluates in the middle of this: whatever
    # happens meanwhile, the last to come by finds the level that is wanted.
    global _heard
    while _heard != (wanted := max(_wanted.values(), default=ALL)):
        for least, patches in ((LOSSES, _of_backward), (ALL, _of_steps)):
            if (_heard >= least) != (wanted >= least):
                for patch in patches:
                    if wanted >= least:
                        patch.put()
                    else:
                        patch.undo()
        _heard = wanted


def _make() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    # Tensor.backward calls it; patched alone, so that a backward costs one more Python call and not two.
    _of_backward[:] = [Patch(torch.autograd, "backward", _backward)]
    _of_steps[:] = [
        Hook(register_optimizer_step_pre_hook, _before_step),
        Patch(torch.optim.Optimizer, "zero_grad", _zero_grad),
    ]
    _installed.extend([
        Hook(register_optimizer_step_post_hook, _after_step),
        *_of_backward,
        *_of_steps,
        Patch(torch.autograd, "grad", _grad),
        Patch(torch.optim.Optimizer, "__init__", _optimizer),
        Patch(nn.Module, "zero_grad", _zero_grad),
        Patch(nn.Module, "train", _mode),
        Patch(torch.no_grad, "__enter__", _gradient_off),
        Patch(torch.no_grad, "__exit__", _gradient_on),
        # As a context only: every optimizer calls it as a function in each step, and should not pay for it.
        Patch(torch.set_grad_enabled, "__enter__", _gradient_switch),
        Patch(torch.set_grad_enabled, "__exit__", _gradient_switch),
        Patch(torch.inference_mode, "__enter__", _gradient_off),
        Patch(torch.inference_mode, "__exit__", _gradient_on),
        Patch(torch.nn.utils, "clip_grad_norm_", _clip),
        Patch(torch.amp.GradScaler, "scale", _scale),
        Patch(torch, "compile", _compile),
        Patch(nn.Module, "compile", _compile),
    ])  # fmt: skip


def _tell(event: str, *args: Any, **kwargs: Any) -> None:
    """Call a method of every listener; what happens in every step does the same without this call."""
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
            if _heard < ALL:
                listener.on_step_counted(optimizer)
            else:
                listener.on_after_step(optimizer, closure=_has_closure(args, kwargs))
        except Exception as problem:
            listener.on_problem("after step", problem)


def _begins(tensors: Any) -> bool:
    return _running_backward() == _NONE and not has_torch_function(tensors if type(tensors) is tuple else (tensors,))


def _backward(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell once of a backward: not of one inside another (checkpointing), nor before a mode that will call it again."""

    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        # The first condition of `_begins` is asked here, without a call, since this runs in every step.
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
    """Gradients asked for by name train a network as well: told like a backward when they are of several weights."""

    def grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        for listener in _listeners:
            try:
                # To differentiate again is no training step.
                if not kwargs.get("create_graph") and _are_weights(inputs) and _begins(outputs):
                    listener.on_backward(outputs, args[0] if args else kwargs.get("grad_outputs"), adds=False)
            except Exception as problem:
                listener.on_problem("gradients by name", problem)
        return original(outputs, inputs, *args, **kwargs)

    return grad


def _are_weights(inputs: Any) -> bool:
    """Whether gradients are asked of several leaves; of one alone they are a saliency or a gradient penalty."""
    several = isinstance(inputs, list | tuple) and len(inputs) > 1
    return several and all(isinstance(one, Tensor) and one.is_leaf for one in inputs)


def _zero_grad(original: Callable[..., Any]) -> Callable[..., Any]:
    def zero_grad(self: Any, *args: Any, **kwargs: Any) -> Any:
        _tell("on_zero_grad", self)
        return original(self, *args, **kwargs)

    return zero_grad


def _optimizer(original: Callable[..., Any]) -> Callable[..., Any]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  it stands in for Optimizer.__init__
        original(self, *args, **kwargs)
        _tell("on_optimizer", self)

    return __init__


def _gradient_switch(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell of a `with torch.set_grad_enabled(False)`, at both of its ends."""
    event = "on_gradient_off" if original.__name__ == "__enter__" else "on_gradient_on"

    def switch(self: Any, *args: Any) -> Any:
        if not self.mode:
            _tell(event)
        return original(self, *args)

    return switch


def _gradient_off(original: Callable[..., Any]) -> Callable[..., Any]:
    def __enter__(self: Any) -> Any:  # noqa: N807  it stands in for no_grad.__enter__
        result = original(self)
        if not _hushed:
            _tell("on_gradient_off")
        return result

    return __enter__


def _gradient_on(original: Callable[..., Any]) -> Callable[..., Any]:
    def __exit__(self: Any, *args: Any) -> Any:  # noqa: N807  it stands in for no_grad.__exit__
        if not _hushed:
            _tell("on_gradient_on")
        return original(self, *args)

    return __exit__


def _scale(original: Callable[..., Any]) -> Callable[..., Any]:
    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        _tell("on_scale", outputs, scaled)
        return scaled

    return scale


def _compile(original: Callable[..., Any]) -> Callable[..., Any]:
    def compile(*args: Any, **kwargs: Any) -> Any:
        _tell("on_compile", args[0] if args else kwargs.get("model"))
        return original(*args, **kwargs)

    return compile


def _mode(original: Callable[..., Any]) -> Callable[..., Any]:
    def train(self: nn.Module, mode: bool = True) -> nn.Module:  # noqa: FBT001, FBT002  nn.Module's own signature
        _tell("on_mode", self, training=mode)
        result: nn.Module = original(self, mode)
        return result

    return train


def _clip(original: Callable[..., Any]) -> Callable[..., Any]:
    def clip_grad_norm_(parameters: Any, max_norm: float, *args: Any, **kwargs: Any) -> Any:
        global _hushed
        _hushed += 1
        try:
            norm = original(parameters, max_norm, *args, **kwargs)
        finally:
            _hushed -= 1
        _tell("on_clip", norm, max_norm)
        return norm

    return clip_grad_norm_


def compiled_frames() -> int:
    """How many frames torch.compile has compiled in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return sum(dynamo.counters["frames"].values()) if dynamo is not None else 0
