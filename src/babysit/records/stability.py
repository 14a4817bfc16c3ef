"""Mark public functions as experimental or deprecated: in their documentation, and by a warning to those who call them.

Calls from within the package raise no warning: a command must not warn about its own parts.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE: Final = __name__.partition(".")[0]


class ExperimentalWarning(UserWarning):
    """Category of the warning that an interface may change in any release; `warnings.simplefilter` turns it off."""


def experimental(since: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function whose interface may still change.

    Args:
        since: the version that brought it.
    """
    return _noted(f"is experimental since {since}: any release may change it", ExperimentalWarning)


def deprecated(since: str, removed: str, instead: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function that a later version will no longer have.

    Args:
        since: the version that deprecates it.
        removed: the version that will no longer have it.
        instead: what to use, as code.
    """
    return _noted(f"is deprecated since {since} and removed in {removed}: use {instead}", DeprecationWarning)


def _noted(note: str, category: type[Warning]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def mark(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def noted(*args: P.args, **kwargs: P.kwargs) -> R:
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller.partition(".")[0] != _PACKAGE:
                warnings.warn(f"{function.__name__} {note}", category, stacklevel=2)
            return function(*args, **kwargs)

        documented = inspect.cleandoc(function.__doc__ or "")
        noted.__doc__ = f"{documented}\n\nNote:\n    {function.__name__} {note}."
        return noted

    return mark
