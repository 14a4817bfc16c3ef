"""Runs an unchanged script under `watch` in this process, equivalent to `python script.py`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, final

from torch import nn

from babysit.monitor.main_module import as_main, main_module, shown_path
from babysit.monitor.monitor import Monitor
from babysit.monitor.parameter_registry import holds_parameters
from babysit.monitor.recorder import RunWriter
from babysit.monitor.script_exit import exit_code, report_ending, status_of, wait_for_threads
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.records.secrets import command_of

# `docker stop` kills ten seconds after SIGTERM; other schedulers wait longer.
TERMINATION_SECONDS: Final = 8.0

Ended = Callable[[Run], Run]


@final
class ScriptOutcome:
    """Result of a watched script: its saved run, the exit code as from Python, and the exception it raised.

    In a forked child that reached the end of the script, `forked` is true and nothing was evaluated or saved.
    """

    def __init__(self, run: Run, error: BaseException | None, *, forked: bool) -> None:
        self.run = run
        self.exit_code = exit_code(error)
        self.error = error
        self.forked = forked


def run_script(
    path: str,
    arguments: Sequence[str] = (),
    *,
    code: types.CodeType | None = None,
    overhead: float = 0.01,
    writer: RunWriter | None = None,
    ended: Ended = lambda run: run,
    on_next: Callable[[Run], RunWriter | None] | None = None,
    last: bool = False,
) -> ScriptOutcome:
    """Run a script under watch, with output, arguments, `__main__`, folder and seeds as without babysit.

    For an exception in the script, `sys.excepthook` is called before this returns, with a traceback that contains no
    frames of this package.

    Args:
        path: path of the script.
        arguments: arguments of the script.
        code: result of `read_script`, if the script was already read.
        overhead: allowed share of step time.
        writer: receives records while the script runs.
        ended: called with the evaluated run in the process that started the script, not in its children, also after
            SIGTERM; the process is terminated by the signal afterwards.
        on_next: called with the judged run of a training that another follows in the script; returns the writer of
            the next. None measures only the first training.
        last: the process ends with the script. `__main__` and its arguments remain for exit handlers, and non-daemon
            threads are joined here, so that trainings in them are recorded.

    Raises:
        UserError: if the script does not exist, is not a file, cannot be read, or is not Python.
    """
    code = code or read_script(path)
    module = main_module(path)
    watching = Monitor(overhead=overhead, name=Path(path).stem, writer=writer, on_next=on_next)
    watching.note(command=command_of(["python", path, *arguments]))
    watching.name_models_by(lambda model: _variable_name(module, model))
    process = os.getpid()
    with as_main(module, path, arguments, stays=last):
        with _saved_on_sigterm(lambda: ended(watching.close(status=Status.INTERRUPTED))):
            error = report_ending(_run(code, module, watching))
            if last:
                error = wait_for_threads() or error
        if os.getpid() != process:
            return ScriptOutcome(watching.run, error, forked=True)
        _flush_output()
        return ScriptOutcome(ended(watching.close(status=status_of(error), error=error)), error, forked=False)


def read_script(path: str) -> types.CodeType:
    """Compile the script. Raises UserError if it does not exist or is not Python."""
    try:
        source = Path(path).read_bytes()
    except FileNotFoundError as problem:
        raise UserError("script not found", where=path, do="Check the path") from problem
    except IsADirectoryError as problem:
        raise UserError("this is a folder, not a script", where=path, do="Pass a .py file in it") from problem
    except OSError as problem:
        raise UserError(f"the script cannot be read: {problem.strerror}", where=path) from problem
    try:
        return compile(source, shown_path(path), "exec", dont_inherit=True)
    except SyntaxError as problem:
        raise UserError(
            f"the script is not valid Python: {problem.msg}",
            where=f"{path}, line {problem.lineno}",
            do="Fix the syntax error",
        ) from problem
    except ValueError as problem:  # null bytes
        raise UserError(f"the script is not Python text: {problem}", where=path) from problem


@final
class _SigtermHandler:
    """Handles SIGTERM: saves the records first, then lets the signal terminate the process."""

    def __init__(self, save: Callable[[], object]) -> None:
        self._save = save
        self._process = os.getpid()

    def __call__(self, number: int, _frame: types.FrameType | None) -> None:
        """Handle the signal."""
        self.undo()
        if os.getpid() == self._process:
            # Saving may block on a lock held by the interrupted code; then this thread terminates the process.
            deadline = threading.Timer(TERMINATION_SECONDS, os.kill, (self._process, number))
            deadline.daemon = True
            deadline.start()
            with contextlib.suppress(Exception):
                self._save()
        os.kill(os.getpid(), number)

    def undo(self) -> None:
        """Restore the default handler, unless the script has set its own."""
        if signal.getsignal(signal.SIGTERM) is self:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _saved_on_sigterm(save: Callable[[], object]) -> Iterator[None]:
    """Save the records when SIGTERM (Slurm, Docker, `timeout`) ends the script.

    Nothing is raised into the script, which could catch it and continue. A handler set by the script replaces this one;
    outside the main thread none is set.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    handler = _SigtermHandler(save)
    signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        handler.undo()


_suspended: list[_SigtermHandler] = []


def _before_fork() -> None:
    # Python drops a signal that arrives in a child during the fork, so an immediate SIGTERM would not end the child.
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(handler, _SigtermHandler) and threading.current_thread() is threading.main_thread():
        handler.undo()
        _suspended.append(handler)


def _in_parent() -> None:
    if _suspended and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _suspended.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_suspended.clear)


def _run(code: types.CodeType, module: types.ModuleType, watching: Monitor) -> BaseException | None:
    watching.start(at_once=False)  # the script prepares its data first
    try:
        exec(code, module.__dict__)  # the user's script, as run by `python script.py`
    except BaseException as error:
        return error
    return None


def _flush_output() -> None:
    """Flush the script's output before later messages; errors are ignored, since Python flushes again at exit."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _variable_name(module: types.ModuleType, model: nn.Module) -> str:
    """Return the variable name of a model in the script if it has several models, else ""."""
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
