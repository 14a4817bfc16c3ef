"""Convert the exception that ended a program into its record."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

from babysit.records.secrets import without_secrets
from babysit.records.verdict import Crash

_LONGEST = 1_000
# Folders of installed code; the innermost frame outside them is the user's own.
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")} | {sys.prefix})
_OURS = str(Path(__file__).parents[1])


def crash_of(error: BaseException) -> Crash:
    """Return class and message of an exception, and the innermost location in the user's code."""
    try:
        text = str(error.code if isinstance(error, SystemExit) else error)
        # Truncate after masking: part of a secret may lack the prefix that identifies it.
        message = without_secrets(text)[:_LONGEST]
    except Exception:  # an exception whose own __str__ raises
        message = ""
    return Crash(kind=type(error).__name__, message=message, place=_place(error))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        installed = frame.filename.startswith(_INSTALLED) or frame.filename.startswith((_OURS, "<frozen"))
        if not installed:
            return f"{_relative(frame.filename)}:{frame.lineno}"
    return ""


def _relative(file: str) -> str:
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else file
