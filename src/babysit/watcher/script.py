"""Runs a user's unchanged script under watch, in this process, as Python itself would run it."""

from __future__ import annotations

import builtins
import contextlib
import io
import signal
import sys
import threading
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, final

from torch import nn

from babysit.records.problem import UserError
from babysit.records.run import Run, Status
from babysit.watcher.book import holds_parameters
from babysit.watcher.recorder import Sink
from babysit.watcher.watch import Watch, watch

INTERRUPTED: Final = 130  # what a shell gives for Ctrl-C
TERMINATED: Final = 143  # and for SIGTERM


@final
class ScriptOutcome:
    """How a watched script ended: its judged run, the exit code it would have had, and what it raised."""

    def __init__(self, run: Run, exit_code: int, error: BaseException | None) -> None:
        self.run = run
        self.exit_code = exit_code
        self.error = error


def run_script(
    path: str, arguments: Sequence[str] = (), *, overhead: float = 0.01, name: str = "", writer: Sink | None = None
) -> ScriptOutcome:
    """Run a script under watch; its output, arguments, `__main__`, folder and seeds are as without babysit.

    A script that raises prints its own traceback, without our frames, before this returns.

    Raises:
        UserError: the script does not exist, is no file, cannot be read, or is not Python.
    """
    code = read_script(path)
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=path, __builtins__=builtins, __spec__=None, __cached__=None)
    watching = watch(overhead=overhead, name=name or Path(path).stem, writer=writer)
    watching.note(command=" ".join(["python", path, *arguments]))
    watching.name_models_by(lambda model: _variable_name(module, model))
    with _as_main(module, path, arguments), _terminated_as_exit():
        error = _run(code, module, watching)
        exit_code = _exit_code(error)
        ended = {0: Status.FINISHED, INTERRUPTED: Status.INTERRUPTED, TERMINATED: Status.INTERRUPTED}
        status = ended.get(exit_code, Status.FINISHED if isinstance(error, SystemExit) else Status.CRASHED)
        run = watching.close(status=status, error=error)
        if error is not None and not isinstance(error, SystemExit):
            _print_as_python(error)
        _flush_output()
    return ScriptOutcome(run, exit_code, error)


def read_script(path: str) -> types.CodeType:
    """The script's code, ready to run; raises UserError when there is no such script or it is not Python."""
    try:
        source = Path(path).read_bytes()
    except FileNotFoundError as problem:
        raise UserError("there is no such script", where=path, do="Check the path") from problem
    except IsADirectoryError as problem:
        raise UserError("this is a folder, not a script", where=path, do="Name the .py file inside it") from problem
    except OSError as problem:
        raise UserError(f"the script cannot be read: {problem.strerror}", where=path) from problem
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as problem:
        raise UserError(
            f"the script is not valid Python: {problem.msg}", where=f"{path}, line {problem.lineno}", do="Mend it first"
        ) from problem
    except ValueError as problem:  # null bytes
        raise UserError(f"the script is not Python text: {problem}", where=path) from problem


@contextlib.contextmanager
def _as_main(module: types.ModuleType, path: str, arguments: Sequence[str]) -> Iterator[None]:
    """Make the script's module `__main__`, with its arguments and its folder first on the path."""
    old_main, old_argv, old_path = sys.modules["__main__"], sys.argv, list(sys.path)
    sys.modules["__main__"] = module
    sys.argv = [path, *arguments]
    # The first entry is the folder of the script that Python started, here our own console script.
    sys.path[:1] = [str(Path(path).resolve().parent)]
    try:
        yield
    finally:
        sys.modules["__main__"] = old_main
        sys.argv = old_argv
        sys.path[:] = old_path


@contextlib.contextmanager
def _terminated_as_exit() -> Iterator[None]:
    """Let a plain SIGTERM (Slurm, Docker, `timeout`) end the script as an exit, so that its records are not lost.

    A handler that the script itself installs replaces this one; where none can be set, nothing changes.
    """

    def leave(_number: int, _frame: types.FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is leave:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(code: types.CodeType, module: types.ModuleType, watching: Watch) -> BaseException | None:
    watching.start(at_once=False)  # the script prepares its data first
    try:
        exec(code, module.__dict__)  # the user's own script, as `python script.py` would run it
    except BaseException as error:
        return error
    return None


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201  what Python does with a message given to sys.exit
    return 1


def _print_as_python(error: BaseException) -> None:
    """Print the traceback from the script's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") != "__main__":
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace or error.__traceback__)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            stream.flush()


def _variable_name(module: types.ModuleType, model: nn.Module) -> str:
    """The script's own name for a model, when it has several; "" when one is all there is."""
    models = {
        name: value
        for name, value in list(vars(module).items())
        if isinstance(value, nn.Module) and not name.startswith("_") and holds_parameters(value)
    }
    inner = {id(child) for value in models.values() for child in value.modules() if child is not value}
    outer = {name: value for name, value in models.items() if id(value) not in inner}
    if len({id(value) for value in outer.values()}) < 2:
        return ""
    return next((name for name, value in outer.items() if value is model), "")
