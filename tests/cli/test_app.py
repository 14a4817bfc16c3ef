"""The command line's frame: one line for a problem, and its exit code."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from babysit.cli import app as cli
from babysit.cli.catalogue import COMMANDS
from babysit.records.errors import UserError


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ended(words):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    return caught.value.code


def failing(monkeypatch, problem):
    def call(*arguments, **options):
        raise problem

    monkeypatch.setattr(cli, "app", call)


def test_a_user_mistake_is_one_line_and_exit_code_two(monkeypatch, capsys):
    failing(monkeypatch, UserError("the file is empty", where="a.csv", do="Give another"))
    assert ended(["run"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "babysit: the file is empty (a.csv). Give another\n"


def test_a_message_of_many_lines_becomes_one(monkeypatch, capsys):
    failing(monkeypatch, UserError("first\n  second [bold]third[/bold] " + "long " * 60))
    assert ended(["run"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "first second [bold]third[/bold]" in err


def test_an_interrupt_says_what_was_kept_and_exits_with_130(monkeypatch, capsys):
    failing(monkeypatch, KeyboardInterrupt("stopped in the search; go on with `babysit run --resume`"))
    assert ended(["run"]) == 130
    assert "--resume" in capsys.readouterr().err


def test_an_unexpected_exception_is_short_and_its_traceback_is_in_a_file(monkeypatch, capsys):
    failing(monkeypatch, ZeroDivisionError("by nobody"))
    assert ended(["run"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "ZeroDivisionError: by nobody" in err
    file = Path(err.strip().rsplit(" ", 1)[1])
    assert "Traceback (most recent call last)" in file.read_text()
    file.unlink()


def test_a_full_disk_is_told_as_such(monkeypatch, capsys):
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/there/model.pt"))
    assert ended(["run"]) == 2
    assert capsys.readouterr().err == "babysit: No space left on device (/there/model.pt)\n"


@pytest.mark.parametrize("words", [["rnu"], ["runs", "--jsn"], ["report"], ["explain"]])
def test_a_wrong_word_is_one_line_and_exit_code_two(words, capsys):
    assert ended(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("babysit: ")
    assert err.count("\n") == 1


def test_a_misspelt_command_is_answered_with_the_nearest(capsys):
    ended(["explian"])
    assert "explain" in capsys.readouterr().err


def test_help_lists_every_command_and_exits_with_zero(capsys):
    assert ended(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command.name in out and command.sentence.split()[0] in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_examples(command, capsys):
    assert ended([command.name, "--help"]) == 0
    out = capsys.readouterr().out
    examples = out.split("Examples", 1)[1]
    assert all(example in " ".join(examples.split()) for example in command.examples)
    assert "--json" in out or command.name == "ui"  # a page is all it has to say


def test_every_command_file_is_listed():
    folder = Path(cli.__file__).parent
    functions = {path.stem for path in folder.glob("*.py") if f"def {path.stem}(" in path.read_text(encoding="utf-8")}
    assert {command.name for command in COMMANDS} == functions


@pytest.mark.parametrize(
    ("given", "handed"),
    [
        (["watch", "a.py", "--json", "x"], ["watch", "--", "a.py", "--json", "x"]),
        (["watch", "--json", "o", "a.py", "-h"], ["watch", "--json", "o", "--", "a.py", "-h"]),
        (["watch", "--exit-zero", "a.py", "--help"], ["watch", "--exit-zero", "--", "a.py", "--help"]),
        (
            ["watch", "--json=o", "--select", "O,I", "a.py", "--", "b"],
            ["watch", "--json=o", "--select", "O,I", "--", "a.py", "--", "b"],
        ),
        (["watch", "--", "a.py", "--json"], ["watch", "--", "a.py", "--json"]),
        (["watch", "--help"], ["watch", "--help"]),
        (["watch"], ["watch"]),
        (["run", "digits", "--resume"], ["run", "digits", "--resume", "latest"]),
        (["run", "--resume", "--json"], ["run", "--resume", "latest", "--json"]),
        (["run", "--resume", "2025"], ["run", "--resume", "2025"]),
        ([], []),
    ],
)
def test_what_follows_the_script_belongs_to_the_script(given, handed):
    assert cli.prepare_tokens(given) == handed


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m babysit rules --json | head -c 1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1][-3:] in ("141", "[0")
