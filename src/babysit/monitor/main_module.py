"""The module `__main__` of a script, as the interpreter makes it for `python script.py`."""

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
    """A `__main__` with the names, and the values, that a script finds in it when it begins."""
    module = types.ModuleType("__main__")
    file = shown_path(path)
    module.__dict__.update(
        __builtins__=builtins,
        __cached__=None,
        __file__=file,
        __loader__=importlib.machinery.SourceFileLoader("__main__", file),
    )
    if sys.version_info < (3, 14):  # from 3.14 on annotations are made when they are asked for
        module.__annotations__ = {}
    return module


def shown_path(path: str) -> str:
    """The path as `__file__` and tracebacks show it: absolute, but neither normalized nor free of links."""
    return os.path.join(os.getcwd(), path)


@contextlib.contextmanager
def as_main(module: types.ModuleType, path: str, arguments: Sequence[str], *, stays: bool) -> Iterator[None]:
    """Make a script's module `__main__`, with its arguments and its folder first on the path.

    Where it `stays`, nothing is put back: functions that run at exit pickle classes of it and read its arguments.
    """
    old_main, old_argv, old_path = sys.modules["__main__"], sys.argv, list(sys.path)
    sys.modules["__main__"] = module
    sys.argv = [path, *arguments]
    if not sys.flags.safe_path:  # with -P or -I no folder comes first
        # The first entry is the folder of the script that Python started, here our own console script.
        sys.path[:1] = [str(Path(path).resolve().parent)]
    try:
        yield
    finally:
        if not stays:
            sys.modules["__main__"] = old_main
            sys.argv = old_argv
            sys.path[:] = old_path
