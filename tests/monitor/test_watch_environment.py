"""What a run knows of the code it ran."""

import subprocess
import sys

from babysit.monitor import environment as module
from babysit.monitor.environment import environment


def test_a_script_is_known_by_its_name_and_its_text(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("print(1)\n")
    monkeypatch.setattr(sys, "argv", [str(script), "--lr", "1"])
    first = environment()
    script.write_text("print(2)\n")
    second = environment()
    assert first.script == second.script == "train.py"
    assert first.code != second.code
    assert first.commit == ""


def test_the_commit_around_a_script_is_told_and_whether_files_changed(tmp_path, monkeypatch):
    script = tmp_path / "train.py"
    script.write_text("print(1)\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "train.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(sys, "argv", [str(script)])
    module._commit.cache_clear()
    clean = environment().commit
    assert clean
    assert not clean.endswith("+")
    script.write_text("print(2)\n")
    module._commit.cache_clear()
    assert environment().commit == clean + "+"


def test_without_a_script_nothing_is_made_up(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-c"])
    seen = environment()
    assert (seen.script, seen.code, seen.commit) == ("", "", "")
