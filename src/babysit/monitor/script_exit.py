"""End of a script as in the interpreter: messages, excepthook, waiting for threads, exit code.

Reproduces `PyErr_Print` in Python/pythonrun.c, because frames of this package are between it and the script.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  import now: its exit function cannot be registered later
import contextlib
import os
import sys
import threading
import types
from typing import Final, NoReturn

from babysit.records.run import Status

INTERRUPTED: Final = 130  # exit code of a shell after Ctrl-C
TERMINATED: Final = 143  # exit code of a shell after SIGTERM
# The exit code is a C long; Python returns -1 for a number out of its range.
_LONG: Final = 63 if sys.maxsize > 2**32 and os.name != "nt" else 31
_TOO_LARGE: Final = 255
# Package whose frames are removed from tracebacks. Frames of other packages of babysit remain for scripts that use it.
_OURS: Final = __name__.rpartition(".")[0]


def exit_code(error: BaseException | None) -> int:
    """Return the exit code that a shell shows for a script that ended with this exception."""
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF if -(2**_LONG) <= error.code < 2**_LONG else _TOO_LARGE
    return 1


def status_of(error: BaseException | None) -> Status:
    """Return the status of a program that ended with this exception; a non-zero exit code is a failure."""
    code = exit_code(error)
    if code in (INTERRUPTED, TERMINATED):
        return Status.INTERRUPTED
    return Status.CRASHED if code else Status.FINISHED


def report_ending(error: BaseException | None) -> BaseException | None:
    """Report the exception that ended a script as Python does, and return the final one (an excepthook may exit)."""
    if isinstance(error, SystemExit):
        _print_message(error.code)
        return error
    if error is None:
        return None
    _leave_out_our_frames(error)
    _remember(error)
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        _print_raw("sys.excepthook is missing\n")
        hook = sys.__excepthook__
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit as asked:
        return report_ending(asked)
    except BaseException as other:
        _leave_out_our_frames(other)
        _print_raw("Error in sys.excepthook:\n")
        sys.__excepthook__(type(other), other, other.__traceback__)
        _print_raw("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return error


def wait_for_threads() -> BaseException | None:
    """Wait for non-daemon threads as Python does at exit; return an exception that ended the process meanwhile.

    The interpreter calls `threading._shutdown`, which also ends idle threads of executors, where a join would block.
    Without such threads, this is left to Python.
    """
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    if not others or threading.current_thread() is not threading.main_thread():
        return None
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as asked:
        return asked
    except BaseException as error:  # Python prints an exception raised by a signal here, and continues to exit
        _leave_out_our_frames(error)
        _print_raw(f"Exception ignored in: {threading!r}\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return None


def exit_process(error: BaseException | None, code: int) -> NoReturn:
    """End this process with an exit code, or with SIGINT after Ctrl-C as Python does, so that a shell stops too."""
    if not isinstance(error, KeyboardInterrupt):
        raise SystemExit(code)
    theirs = getattr(sys, "excepthook", sys.__excepthook__)

    def already_reported(*_: object) -> None:
        sys.excepthook = theirs
        _remember(error)

    sys.excepthook = already_reported
    raise KeyboardInterrupt


def _remember(error: BaseException) -> None:
    """Set `sys.last_exc` and its companions, which `pdb.pm()` and crash reporters read."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error


def _print_message(code: object) -> None:
    """Print the argument of `sys.exit` if it is not an exit code."""
    if code is None or isinstance(code, int):
        return
    with contextlib.suppress(Exception):
        if sys.stderr is None:
            _print_raw(str(code))
        else:
            sys.stderr.write(str(code))
    _print_raw("\n")


def _print_raw(text: str) -> None:
    """Print to standard error, or to its file descriptor if the script has closed or broken the stream."""
    try:
        sys.stderr.write(text)
    except Exception:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))


def _leave_out_our_frames(error: BaseException, known: set[int] | None = None) -> None:
    """Remove the frames of this package from the traceback of an exception and of all linked exceptions."""
    known = set() if known is None else known
    if id(error) in known:
        return
    known.add(id(error))
    error.__traceback__ = _without_ours(error.__traceback__)
    inner = [error.__cause__, error.__context__]
    if isinstance(error, BaseExceptionGroup):
        inner += error.exceptions
    for one in inner:
        if one is not None:
            _leave_out_our_frames(one, known)


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    kept: list[types.TracebackType] = []
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith(_OURS):
            kept.append(trace)
        elif trace.tb_frame.f_code.co_name == "__torch_function__":
            _drop_dispatch(kept)
        trace = trace.tb_next
    made = None
    for one in reversed(kept):
        made = types.TracebackType(made, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return made


def _drop_dispatch(kept: list[types.TracebackType]) -> None:
    """Remove the duplicate frames of a torch function that was dispatched to a mode."""
    if kept and kept[-1].tb_frame.f_code.co_name == "handle_torch_function":
        del kept[-2:]
