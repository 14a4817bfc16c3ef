"""The module `__main__` of a script, as the interpreter creates it for `python script.py`."""

from __future__ import annotations

import builtins
import contextlib
import importlib.machinery
import os
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path


def main_module(path: str) -> types.ModuleType:
    """Create a `__main__` module with the attributes that the interpreter sets before it runs a script."""
    module = types.ModuleType("__main__")
    file = shown_path(path)
    module.__dict__.update(
        __builtins__=builtins,
        __cached__=None,
        __file__=file,
        __loader__=importlib.machinery.SourceFileLoader("__main__", file),
    )
    if sys.version_info < (3, 14):  # since 3.14 annotations are evaluated lazily
        module.__annotations__ = {}
    return module


def shown_path(path: str) -> str:
    """Return the path as in `__file__` and tracebacks: absolute, but not normalized and with links unresolved."""
    return os.path.join(os.getcwd(), path)


@contextlib.contextmanager
def as_main(module: types.ModuleType, path: str, arguments: Sequence[str], *, stays: bool) -> Iterator[None]:
    """Install a module as `__main__`, with the script's arguments and its folder first in `sys.path`.

    With `stays`, nothing is restored: functions that run at exit may pickle its classes and read its arguments.
    """
    old_main, old_argv, old_path = sys.modules["__main__"], sys.argv, list(sys.path)
    sys.modules["__main__"] = module
    sys.argv = [path, *arguments]
    if not sys.flags.safe_path:  # with -P or -I no folder is prepended
        # The first entry is the folder of the script that Python started, here the console script of this package.
        sys.path[:1] = [str(Path(path).resolve().parent)]
    try:
        yield
    finally:
        if not stays:
            sys.modules["__main__"] = old_main
            sys.argv = old_argv
            sys.path[:] = old_path
