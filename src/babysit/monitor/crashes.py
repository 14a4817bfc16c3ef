"""From the exception that ended a program to its record."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

from babysit.records.secrets import without_secrets
from babysit.records.verdict import Crash

_LONGEST = 1_000
# Where installed code lies: the user's own line is the innermost one outside.
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")} | {sys.prefix})
_OURS = str(Path(__file__).parents[1])


def crash_of(error: BaseException) -> Crash:
    """Return class, message and place of an exception; of its frames, the innermost that is the user's own."""
    try:
        text = str(error.code if isinstance(error, SystemExit) else error)
        # Cut after masking: part of a secret may lack the sign that gives it away.
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
