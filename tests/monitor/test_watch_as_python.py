"""A watched script ends, prints and finds its `__main__` as in plain Python: small scripts run both ways and compared.

The watched ones are children of one process that has imported torch once; each lives to the interpreter's own end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the watched scripts are forked"),
]

RUNNER = """
import json, os, pathlib, sys
from babysit.cli import live_panel, render, watch
from babysit.cli.app import app, main
from babysit.cli.options import judged
from babysit.cli.settings import Settings
from babysit.pipeline.run_state import begin_run
from babysit.store.store import Store
from babysit.monitor.script import run_script

# All that a watched script imports is imported once, here.
pathlib.Path("first.py").write_text("")
with Store("runs") as store:
    run = judged(run_script("first.py", writer=store.open_writer(begin_run("watch", {}))).run, Settings())
    store.save(run)
    render.show_findings(run)
app(["rules", "D1"], result_action="return_value")

for name in sys.argv[1:]:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        for descriptor, ending in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{name}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        main(["watch", "--store", "runs", "--exit-zero", f"./{name}.py", "one", "-x"])
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    pathlib.Path(f"{name}.code").write_text(str(code))
"""

SCRIPTS = {
    "main_module": '''
        """What it is for."""
        number: int = 3
        import sys
        given = {name: value for name, value in globals().items() if name not in ("sys", "given", "number")}
        loader = given.pop("__loader__")
        print(sorted(given.items(), key=str), type(loader), loader.name, loader.path)
        print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals(), sys._getframe().f_code.co_filename)
        ''',
    "main_guard": "if __name__ == '__main__':\n    print('main', __name__)",
    "file_after_chdir": """
        import os
        os.chdir("/")
        print(os.path.exists(__file__), open(__file__).read().count("chdir"))
        raise ValueError("elsewhere")
        """,
    "dataclass_and_pickle": """
        import copy, pickle
        from dataclasses import asdict, dataclass, fields
        @dataclass(frozen=True)
        class Sample:
            size: "int" = 3
        print(pickle.loads(pickle.dumps(Sample(4))), asdict(copy.deepcopy(Sample())), fields(Sample)[0].type)
        """,
    "runpy_and_reload": """
        import importlib, pathlib, runpy, sys
        pathlib.Path("beside_it.py").write_text("value = 1")
        import beside_it
        print(importlib.reload(beside_it).value, runpy.run_path("beside_it.py", run_name="__main__")["value"])
        print(sys.modules["__main__"].__dict__ is globals())
        """,
    "exit_big": "import sys\nsys.exit(2**70)",
    "exit_big_negative": "import sys\nsys.exit(-2**70)",
    "exit_32_bits": "import sys\nsys.exit(2**32 + 5)",
    "exit_text": "import sys\nprint('out')\nsys.exit('no data')",
    "exit_true": "import sys\nsys.exit(True)",
    "exit_false": "import sys\nsys.exit(False)",
    "exit_negative": "import sys\nsys.exit(-3)",
    "exit_300": "import sys\nsys.exit(300)",
    "exit_256": "raise SystemExit(256)",
    "exit_tuple": "raise SystemExit((3, 'a'))",
    "exit_unprintable": "class Bad:\n    def __str__(self): raise TypeError\nraise SystemExit(Bad())",
    "exit_text_without_stderr": "import sys\nsys.stderr = None\nsys.exit('to nowhere')",
    "chained": """
        def f():
            1 / 0
        try:
            f()
        except ZeroDivisionError as error:
            raise RuntimeError('outer') from error
        """,
    "group": "e = ValueError(1)\ne.add_note('a hint')\nraise ExceptionGroup('several', [e, TypeError(2)])",
    "not_an_exception": "class Stop(BaseException): pass\nraise Stop('now')",
    "interrupt": "try:\n    raise KeyboardInterrupt\nfinally:\n    print('finally')",
    "interrupt_signal": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(10)",
    "terminated": """
        import atexit, os, signal, time
        atexit.register(print, "never")
        print("before", flush=True)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except BaseException:
            print("never", flush=True)
        finally:
            print("never", flush=True)
        """,
    "handles_terminated": """
        import os, signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        os.kill(os.getpid(), signal.SIGTERM)
        """,
    "hook": """
        import sys
        sys.excepthook = lambda kind, value, trace: print('hook', kind, value, trace.tb_lineno)
        1 / 0
        """,
    "hook_exits": "import os, sys\nsys.excepthook = lambda *_: (print('hook', flush=True), os._exit(42))\n1 / 0",
    "hook_asks_for_exit": "import sys\nsys.excepthook = lambda *_: sys.exit(5)\n1 / 0",
    "hook_fails": "import sys\ndef hook(*_): raise ValueError('in the hook')\nsys.excepthook = hook\n1 / 0",
    "hook_missing": "import sys\ndel sys.excepthook\n1 / 0",
    "hook_and_interrupt": "import sys\nsys.excepthook = lambda *_: print('hook')\nraise KeyboardInterrupt",
    "last_traceback": """
        import atexit, sys
        atexit.register(lambda: print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno, sys.argv))
        raise KeyError("gone")
        """,
    "atexit_pickle": """
        import atexit, pickle, sys
        class Model: pass
        @atexit.register
        def late():
            print(len(pickle.dumps(Model())) > 0, sys.argv, sys.modules["__main__"].Model is Model, sys.path[0])
        """,
    "atexit_fails": """
        import atexit
        def late(): raise ValueError('late')
        atexit.register(late)
        atexit.register(print, 1)
        """,
    "thread_goes_on": """
        import atexit, threading, time
        atexit.register(print, "exit")
        def work():
            time.sleep(0.2)
            print("worked", threading.main_thread().is_alive())
        threading.Thread(target=work).start()
        raise ValueError("main")
        """,
    "thread_fails": "import threading\nthreading.Thread(target=lambda: 1 / 0, name='T').start()",
    "idle_executor": """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        print(pool.submit(lambda: 3).result())
        """,
    "stdout_closed": "import sys\nprint('a')\nsys.stdout.close()",
    "stdout_none": "import sys\nprint('a', flush=True)\nsys.stdout = None\nprint('b')",
    "both_closed": "import os\nprint('a', flush=True)\nos.close(1)\nos.close(2)",
    "stderr_closed": "import sys\nprint('a')\nsys.stderr.close()\nsys.exit('to nowhere')",
    "stdout_without_reader": """
        import os
        reader, writer = os.pipe()
        os.dup2(writer, 1), os.close(reader), os.close(writer)
        print("to nobody")
        """,
    "stdout_pipe_breaks_in_print": """
        import os
        reader, writer = os.pipe()
        os.dup2(writer, 1), os.close(reader), os.close(writer)
        print("to nobody", flush=True)
        """,
    "stderr_without_reader": """
        import os
        print("a")
        reader, writer = os.pipe()
        os.dup2(writer, 2), os.close(reader), os.close(writer)
        """,
    "strange_stdout": """
        import sys
        class Out:
            def write(self, text): sys.__stdout__.write(text)
        sys.stdout = Out()
        print(1)
        """,
    "generator_and_del": """
        class Gone:
            def __del__(self): print("gone")
        def numbers():
            try:
                yield 1
            finally:
                print("closed")
        gone, made = Gone(), numbers()
        print(next(made))
        """,
    "fork_returns": """
        import atexit, os, sys
        atexit.register(lambda: print("exit", os.getpid() == parent, flush=True))
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            print("child", flush=True)
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        """,
    "fork_fails": """
        import os
        child = os.fork()
        if child == 0:
            raise ValueError("in the child")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        """,
    "fork_interrupted_and_terminated": """
        import os, signal, time
        for number in (signal.SIGINT, signal.SIGTERM):
            child = os.fork()
            if child == 0:
                os.kill(os.getpid(), number)
                time.sleep(10)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        """,
    "pools_and_processes": """
        import multiprocessing, sys
        class Task:
            def __init__(self, value): self.value = value
            def __call__(self): return self.value + 1, __name__
        def call(task): return task()
        def ends(): sys.exit(4)
        if __name__ == "__main__":
            for kind in ("fork", "spawn"):
                context = multiprocessing.get_context(kind)
                with context.Pool(1) as pool:
                    print(kind, pool.map(call, [Task(1), Task(2)]), flush=True)
                process = context.Process(target=ends)
                process.start(); process.join()
                print(process.exitcode, flush=True)
                process = context.Process(target=context.Event().wait)
                process.start(); process.terminate(); process.join()
                print(process.exitcode, flush=True)
        """,
    "warns": "import warnings\nwarnings.warn('careful')\nvalue = 1 is 1",
}


class Ended(NamedTuple):
    code: int
    out: str
    err: list[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("scripts")
    for name, text in SCRIPTS.items():
        (made / f"{name}.py").write_text(textwrap.dedent(text))
    return made


@pytest.fixture(scope="module")
def watched(folder: Path) -> dict[str, Ended]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUNNER, *SCRIPTS]
    subprocess.run(command, capture_output=True, cwd=folder, env=environment, timeout=900, check=True)
    return {name: ended_with(folder, name) for name in SCRIPTS}


def ended_with(folder: Path, name: str) -> Ended:
    code, out, err = ((folder / f"{name}.{ending}").read_text() for ending in ("code", "out", "err"))
    return Ended(int(code), out, without_addresses(err).splitlines())


def plainly(folder: Path, name: str) -> Ended:
    command = [sys.executable, f"./{name}.py", "one", "-x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    return Ended(done.returncode, done.stdout, without_addresses(done.stderr).splitlines())


def without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def in_order(some: list[str], among: list[str]) -> bool:
    rest = iter(among)
    return all(any(line == other for other in rest) for line in some)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_watched_script_ends_as_in_plain_python(name: str, folder: Path, watched: dict[str, Ended]) -> None:
    plain, ours = plainly(folder, name), watched[name]
    assert (ours.code, ours.out) == (plain.code, plain.out), ours.err
    assert in_order(plain.err, ours.err), (plain.err, ours.err)
    assert not [line for line in ours.err if "babysit/" in line and "Saved run" not in line]
    assert sum("Saved run" in line for line in ours.err) <= 1


def test_the_scripts_end_in_every_way_that_they_are_about(watched: dict[str, Ended]) -> None:
    codes = {name: ended.code for name, ended in watched.items()}
    assert codes["exit_big"] == 255
    assert codes["interrupt"] == -signal.SIGINT
    assert codes["terminated"] == -signal.SIGTERM
    assert codes["hook_exits"] == 42
    assert codes["strange_stdout"] == 120
    assert "Saved run" in watched["terminated"].err[-1]
