"""One thing of torch that is replaced or added for a while, and put back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, final


@final
class Patch:
    """One attribute replaced, and how to put it back."""

    def __init__(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._owner, self._name, self._make = owner, name, make
        self._inherited = isinstance(owner, type) and name not in vars(owner)
        self._original: Callable[..., Any] = getattr(owner, name)
        self._ours = functools.wraps(self._original)(make(self._original))
        self._met = [self._original]  # what ours has stood before: where one of them is now, ours is gone
        self._on = False

    def put(self) -> None:
        """Replace the attribute, or what somebody has put there meanwhile."""
        now = getattr(self._owner, self._name)
        if now is self._ours or (self._on and not any(now is one for one in self._met)):
            return  # it is there, or somebody has put theirs over it, and calls it
        if now is not self._original:
            self._original, self._ours = now, functools.wraps(now)(self._make(now))
            self._met.append(now)
        setattr(self._owner, self._name, self._ours)
        self._on = True

    def undo(self) -> None:
        """Put the original back, unless somebody has replaced ours since."""
        if getattr(self._owner, self._name) is not self._ours:
            return
        if self._inherited:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._original)
        self._on = False


@final
class Hook:
    """A hook of torch's own, put and undone like a patch."""

    def __init__(self, register: Callable[[Any], Any], hook: Callable[..., Any]) -> None:
        self._register, self._hook = register, hook
        self._handle: Any = None

    def put(self) -> None:
        """Add the hook."""
        self._handle = self._handle or self._register(self._hook)

    def undo(self) -> None:
        """Remove it."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
