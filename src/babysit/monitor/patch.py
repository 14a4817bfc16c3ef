"""Reversible patches and hooks on torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, final


@final
class Patch:
    """A replaced attribute that can be restored."""

    def __init__(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._owner, self._name, self._make = owner, name, make
        self._inherited = isinstance(owner, type) and name not in vars(owner)
        self._original: Callable[..., Any] = getattr(owner, name)
        self._ours = functools.wraps(self._original)(make(self._original))
        self._met = [self._original]  # values replaced so far; if one of them is back, the patch is gone
        self._on = False

    def put(self) -> None:
        """Replace the attribute; other code may have replaced it meanwhile."""
        now = getattr(self._owner, self._name)
        if now is self._ours or (self._on and not any(now is one for one in self._met)):
            return  # installed, or wrapped by other code that calls it
        if now is not self._original:
            self._original, self._ours = now, functools.wraps(now)(self._make(now))
            self._met.append(now)
        setattr(self._owner, self._name, self._ours)
        self._on = True

    def undo(self) -> None:
        """Restore the original, unless other code has replaced the patch since."""
        if getattr(self._owner, self._name) is not self._ours:
            return
        if self._inherited:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._original)
        self._on = False


@final
class Hook:
    """A torch hook with the interface of a patch."""

    def __init__(self, register: Callable[[Any], Any], hook: Callable[..., Any]) -> None:
        self._register, self._hook = register, hook
        self._handle: Any = None

    def put(self) -> None:
        """Add the hook."""
        self._handle = self._handle or self._register(self._hook)

    def undo(self) -> None:
        """Remove the hook."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
