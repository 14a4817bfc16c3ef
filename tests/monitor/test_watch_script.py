"""An unchanged script under watch: everything as `python script.py`, and the records of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from babysit.monitor.monitor import Monitor
from babysit.monitor.script import run_script
from babysit.records.errors import UserError
from babysit.records.run import Status

TRAINING = """
    import os, random, sys
    import numpy as np
    import torch, torch.nn as nn, torch.nn.functional as F
    torch.manual_seed(0); np.random.seed(0); random.seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs = torch.randn(64, 6); labels = inputs[:, :3].argmax(1)
    for step in range(60):
        rows = torch.randperm(64)[:16]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs[rows]), labels[rows])
        loss.backward()
        optimizer.step()
    print(repr(loss.item()), torch.rand(1).item(), np.random.rand(), random.random())
    print(sys.argv[1:], __name__, __file__, os.getcwd(), sys.path[0], sys.modules["__main__"].__dict__ is globals())
"""

WRONG_SHAPE = """
    import torch
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    def step(rows, labels):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(rows), labels).backward()
        optimizer.step()
    step(torch.ones(5, 4), torch.zeros(5, dtype=torch.long))
    step(torch.ones(5, 4), torch.zeros(6, dtype=torch.long))
"""

RUNNER = """
import sys
from babysit.monitor.script import run_script
outcome = run_script(sys.argv[1], sys.argv[2:])
sys.exit(outcome.exit_code)
"""

TELLING_RUNNER = """
import sys
from babysit.monitor.script import run_script
def ended(run):
    print("kept", run.status, len(run.curves.get("train/loss")), flush=True)
    return run
outcome = run_script(sys.argv[1], ended=ended)
sys.exit(outcome.exit_code)
"""


def written(folder: Path, text: str, name: str = "train.py") -> str:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def both_ways(folder: Path, text: str, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """The script run by Python itself, and by babysit."""
    path = written(folder, text)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, path, *arguments], [sys.executable, "-c", RUNNER, path, *arguments]]
    return [
        subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False)
        for command in commands
    ]


@pytest.mark.slow
def test_output_arguments_main_folder_and_seeds_are_as_without_babysit(tmp_path: Path) -> None:
    plain, watched = both_ways(tmp_path, TRAINING, "--lr", "3", "-x")
    assert plain.returncode == watched.returncode == 0
    assert watched.stdout == plain.stdout
    assert watched.stderr == plain.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit('no data')", 1),
        ("sys.exit()", 0),
        ("raise ValueError('bad label')", 1),
        ("raise KeyboardInterrupt", 130),
        ("def inner():\n    return 1 / 0\ninner()", 1),
    ],
)
def test_every_ending_keeps_its_exit_code_and_its_traceback(tmp_path: Path, ending: str, code: int) -> None:
    plain, watched = both_ways(tmp_path, "import sys\nprint('before')\n" + ending)
    assert watched.returncode == code
    assert watched.stdout == plain.stdout == "before\n"
    assert watched.stderr == plain.stderr
    if code != 130:  # Python itself dies of the signal, which a shell shows as 130
        assert plain.returncode == code


def test_a_script_that_crashes_still_gives_its_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, TRAINING + "\n    raise RuntimeError('after the training')\n")
    outcome = run_script(path)
    assert outcome.exit_code == 1
    assert outcome.run.status == Status.CRASHED
    assert len(outcome.run.curves.get("train/loss")) == 60
    assert outcome.run.model_summary is not None
    assert [layer.name for layer in outcome.run.model_summary.layers] == ["0", "2"]
    error = capsys.readouterr().err
    assert "RuntimeError: after the training" in error
    assert "babysit" not in error


def test_a_script_and_a_plain_loop_give_the_same_records(tmp_path: Path) -> None:
    script = run_script(written(tmp_path, TRAINING)).run
    namespace: dict[str, object] = {"__name__": "loop", "__file__": "loop"}
    body = textwrap.dedent(TRAINING)
    before, after = body.split("for step in range")
    exec(before, namespace)
    with Monitor(namespace["model"], namespace["optimizer"]) as watching:  # type: ignore[arg-type]
        exec("for step in range" + after, namespace)
    loop = watching.run
    assert script.model_summary == loop.model_summary
    assert script.curves.get("train/loss").values.tolist() == loop.curves.get("train/loss").values.tolist()
    assert script.layer_metrics.steps[:20].tolist() == loop.layer_metrics.steps[:20].tolist() == list(range(20))
    for name, table in script.layer_metrics.values.items():
        assert table[:20].tobytes() == loop.layer_metrics.values[name][:20].tobytes(), name


def test_several_models_are_called_by_their_variables(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        import torch, torch.nn as nn
        encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
        optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (decoder(encoder(torch.ones(5, 4))) - 1).pow(2).mean().backward()
            optimizer.step()
        """,
    )
    model_summary = run_script(path).run.model_summary
    assert model_summary is not None
    assert [layer.name for layer in model_summary.layers] == ["encoder", "decoder"]


@pytest.mark.slow
def test_loader_workers_and_pickles_of_main_work(tmp_path: Path) -> None:
    plain, watched = both_ways(
        tmp_path,
        """
        import pickle, torch
        from torch.utils.data import DataLoader, Dataset
        class Rows(Dataset):
            def __len__(self): return 32
            def __getitem__(self, index): return torch.full((4,), float(index)), index % 2
        if __name__ == "__main__":
            assert pickle.loads(pickle.dumps(Rows())).__class__ is Rows
            model = torch.nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
            for epoch in range(2):
                for inputs, labels in DataLoader(Rows(), batch_size=8, num_workers=2):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
                    optimizer.step()
            print("done", pickle.loads(pickle.dumps(Rows()))[3])
        """,
    )
    assert watched.stdout == plain.stdout
    assert watched.stderr == plain.stderr
    assert watched.returncode == plain.returncode == 0


@pytest.mark.parametrize("text", ["def broken(:", "\0\0"])
def test_what_is_not_python_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"not valid Python|not Python text"):
        run_script(written(tmp_path, text))


def test_a_missing_script_and_a_folder_are_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="script not found"):
        run_script(str(tmp_path / "none.py"))
    with pytest.raises(UserError, match="folder"):
        run_script(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to hear")
def test_a_terminated_script_gives_its_records(tmp_path: Path) -> None:
    # In a process of its own: a signal that nobody hears would end the whole test run.
    path = written(tmp_path, TRAINING + "\n    import signal; os.kill(os.getpid(), signal.SIGTERM)\n    print('never')")
    command = [sys.executable, "-c", TELLING_RUNNER, path]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert told.returncode == -signal.SIGTERM
    assert told.stdout.splitlines()[-1] == f"kept {Status.INTERRUPTED} 60"
    assert "never" not in told.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_that_reaches_the_end_of_the_script_ends_nothing_but_itself(tmp_path: Path) -> None:
    text = textwrap.dedent(TRAINING) + textwrap.dedent("""
        sys.stdout.flush()
        child = os.fork()
        if child:
            print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        for step in range(7 if child else 20):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        if not child:
            sys.exit(5)
    """)
    command = [sys.executable, "-c", TELLING_RUNNER, written(tmp_path, text)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert told.returncode == 0
    assert told.stdout.splitlines()[-2:] == ["child 5", f"kept {Status.FINISHED} 67"]
    assert told.stdout.count("kept") == 1


@pytest.mark.slow
def test_an_error_in_a_sampled_step_prints_the_traceback_of_plain_python(tmp_path: Path) -> None:
    plain, watched = both_ways(tmp_path, WRONG_SHAPE)
    assert "cross_entropy" in plain.stderr
    assert watched.stderr == plain.stderr
    assert watched.returncode == plain.returncode == 1
