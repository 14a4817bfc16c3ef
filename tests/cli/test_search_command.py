"""`babysit search` as it is typed: spaces, executors, going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from babysit.cli.app import main, prepare_tokens
from babysit.cli.search import ExecutorOptions
from babysit.store.store import Store
from babysit.tuning.executors.sequential import SequentialExecutor

QUICK = ("--trials", "4", "--epochs", "1", "--fine", "2", "--exit-zero")


def babysit(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "babysit", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_resume_without_an_id_means_the_latest():
    assert prepare_tokens(["search", "--resume"]) == ["search", "--resume", "latest"]
    assert prepare_tokens(["search", "--resume", "--json"]) == ["search", "--resume", "latest", "--json"]
    assert prepare_tokens(["search", "--resume", "20250314"]) == ["search", "--resume", "20250314"]


@pytest.mark.slow
def test_a_killed_search_goes_on_from_the_command_line_and_is_then_finished(tmp_path: Path):
    words = [
        "search",
        "digits",
        "--space",
        "lr=1e-4..1e-1,weight_decay=1e-6..1e-2",
        "--trials",
        "12",
        "--epochs",
        "3",
    ]
    words += ["--fine", "3", "--executor", "inprocess", "--exit-zero"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-m", "babysit", *words], cwd=tmp_path, env=environment) as driver:
        deadline = time.monotonic() + 120
        while not any(file.read_bytes().count(b"\n") > 4 for file in tmp_path.rglob("results.jsonl")):
            assert driver.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        driver.send_signal(signal.SIGKILL)
    again = babysit("search", "--resume", "--exit-zero", "--json", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    with Store(str(tmp_path / "babysit_runs")) as store:
        (line,) = store.list()
        assert line.status == "finished"
        run = store.load(line.id)
    assert told["run"]["id"] == run.id
    assert [trial.stage for trial in run.trials][:15] == ["coarse"] * 12 + ["fine"] * 3
    finished = babysit("search", "--resume", folder=tmp_path)
    assert finished.returncode == 2
    assert "there is no interrupted search that you started here" in finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search",), "no data given"),
        (("search", "digits", "--resume", "latest"), "that you started here"),
        (("search", "digits", "--space", "lr=1e-1..1e-4"), "Use 0.0001..0.1"),
        (("search", "digits", "--sampler", "gp", "--trials", "100"), "too slow for 100 trials"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(tmp_path: Path, words: tuple[str, ...], said: str):
    done = babysit(*words, folder=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_factory_of_ones_own_takes_the_hyperparameters_it_names(tmp_path: Path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "def build(inputs, outputs, width=8):\n"
        "    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))\n"
    )
    words = ("search", "digits", "lr=1e-3..1e-1", "width=4,16", "--model", "nets:build", *QUICK)
    done = babysit(*words, "--executor", "processes", "--workers", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "width" in done.stdout
    wrong = babysit("search", "digits", "depth=1,2", "--model", "nets:build", *QUICK, folder=tmp_path)
    assert wrong.returncode == 2
    assert "nothing uses depth" in wrong.stderr


def test_going_on_names_who_trained():
    assert ExecutorOptions().option == ""
    asked = ExecutorOptions(executor="processes", workers=4)
    assert asked.option == " --executor processes --workers 4"
    assert ExecutorOptions(executor="ray", address="a b").option == " --executor ray --address 'a b'"


def test_an_interrupted_search_says_how_to_go_on(tmp_path: Path, monkeypatch, capsys):
    def interrupted(*_: object, **__: object):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SequentialExecutor, "advance", interrupted)
    with pytest.raises(SystemExit):
        main(["search", "digits", *QUICK, "--executor", "inprocess"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--executor inprocess" in said
    with pytest.raises(SystemExit):  # whoever began goes on, also when nobody says so again: a kill says nothing
        main(["search", "--resume"])
    assert "--executor inprocess" in " ".join(capsys.readouterr().out.split())


def test_a_factory_without_defaults_gets_what_the_space_gives(tmp_path: Path):
    (tmp_path / "wide.py").write_text(
        "from torch import nn\n"
        "def build(inputs, outputs, width):\n"
        "    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))\n"
    )
    words = ("--model", "wide.py:build", "--space", "lr=1e-3..1e-2,width=4,8", *QUICK)
    result = babysit("search", "digits", *words, folder=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("digits", "lr=-1..1:linear"), "(lr=-1..1)"),
        (("digits", "lr_end=2"), "the final fraction of the learning rate"),
        (("digits", "lr=1..0"), "Use 0.001..1"),
        (("mine.nets:build",), "--model package.module:factory"),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_trained(tmp_path: Path, given, said):
    result = babysit("search", *given, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr.replace("\n", " ")
