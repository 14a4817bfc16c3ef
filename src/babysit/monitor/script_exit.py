"""How the interpreter ends a script: what it prints, which hook it calls, whom it waits for, and its exit code.

The same as Python/pythonrun.c does in `PyErr_Print`, because our own frames stand between the script and it.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  what it registers for the end of threads is refused after that end
import contextlib
import os
import sys
import threading
import types
from typing import Final, NoReturn

from babysit.records.run import Status

INTERRUPTED: Final = 130  # what a shell gives for Ctrl-C
TERMINATED: Final = 143  # and for SIGTERM
# The exit code is a C long; Python gives -1 for a number that is none.
_LONG: Final = 63 if sys.maxsize > 2**32 and os.name != "nt" else 31
_TOO_LARGE: Final = 255
# Frames that are ours and not the script's: what watches. A script that calls babysit itself keeps those of the rest.
_OURS: Final = __name__.rpartition(".")[0]


def exit_code(error: BaseException | None) -> int:
    """The exit code that a shell shows for a script that ended with this."""
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
    """Return how a program ended that ended with this: an exit code other than 0 says that it failed."""
    code = exit_code(error)
    if code in (INTERRUPTED, TERMINATED):
        return Status.INTERRUPTED
    return Status.CRASHED if code else Status.FINISHED


def report_ending(error: BaseException | None) -> BaseException | None:
    """Print or report what a script ended with, as Python does at once; gives what it ended with after all."""
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
    """Wait as Python does at its end for threads that are no daemons; gives what ended the process meanwhile.

    `threading._shutdown` is what the interpreter calls: it also ends the idle threads of executors, which a join would
    wait for in vain. Where there is no such thread, it is left to Python.
    """
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    if not others or threading.current_thread() is not threading.main_thread():
        return None
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as asked:
        return asked
    except BaseException as error:  # Python prints what a signal raised here, and goes on to its end
        _leave_out_our_frames(error)
        _print_raw(f"Exception ignored in: {threading!r}\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return None


def exit_process(error: BaseException | None, code: int) -> NoReturn:
    """End this process with an exit code; after Ctrl-C of the signal, as Python does so that a shell stops as well."""
    if not isinstance(error, KeyboardInterrupt):
        raise SystemExit(code)
    theirs = getattr(sys, "excepthook", sys.__excepthook__)

    def told_already(*_: object) -> None:
        sys.excepthook = theirs
        _remember(error)

    sys.excepthook = told_already
    raise KeyboardInterrupt


def _remember(error: BaseException) -> None:
    """Set what `pdb.pm()` and crash reporters read."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error


def _print_message(code: object) -> None:
    """Print what was given to `sys.exit` when it is no exit code."""
    if code is None or isinstance(code, int):
        return
    with contextlib.suppress(Exception):
        if sys.stderr is None:
            _print_raw(str(code))
        else:
            sys.stderr.write(str(code))
    _print_raw("\n")


def _print_raw(text: str) -> None:
    """Print to standard error; where the script has closed or broken its stream, past it."""
    try:
        sys.stderr.write(text)
    except Exception:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))


def _leave_out_our_frames(error: BaseException, known: set[int] | None = None) -> None:
    """Take our frames out of the traceback of an exception, and of those it came from or holds."""
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
    """A function of torch that asks a mode first stands in the traceback twice: its asking goes."""
    if kept and kept[-1].tb_frame.f_code.co_name == "handle_torch_function":
        del kept[-2:]
