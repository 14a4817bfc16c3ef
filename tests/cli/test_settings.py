"""Settings: the command line before the environment before a file."""

import pytest

from babysit.cli.options import RuleOptions, exit_code, settle
from babysit.cli.settings import Settings, load_settings, split_words
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Severity
from babysit.records.run import Run


def pyproject(folder, text):
    (folder / "pyproject.toml").write_text(f"[project]\nname = 'theirs'\n[tool.other]\nx = 1\n{text}")


def test_without_files_and_variables_the_defaults_hold(tmp_path):
    assert load_settings(tmp_path, {}) == Settings()


def test_a_project_file_without_our_table_changes_nothing(tmp_path):
    pyproject(tmp_path, "")
    assert load_settings(tmp_path, {}) == Settings()


def test_the_project_file_is_read(tmp_path):
    pyproject(
        tmp_path,
        "[tool.babysit]\nselect = ['O', 'U601']\nfail-on = 'ERROR'\noverhead = 0.02\n"
        "[tool.babysit.limits.U601]\nhigh = 0.5\n",
    )
    settings = load_settings(tmp_path, {})
    assert settings.select == ("O", "U601")
    assert settings.fail_on is Severity.ERROR
    assert settings.overhead == 0.02
    assert settings.limits == {"U601": {"high": 0.5}}


def test_our_own_file_counts_before_the_project_file(tmp_path):
    pyproject(tmp_path, "[tool.babysit]\noverhead = 0.02\n")
    (tmp_path / "babysit.toml").write_text("overhead = 0.03\n")
    assert load_settings(tmp_path, {}).overhead == 0.03


def test_the_environment_counts_before_the_file(tmp_path):
    (tmp_path / "babysit.toml").write_text("overhead = 0.03\nignore = ['F9']\n")
    settings = load_settings(
        tmp_path, {"BABYSIT_OVERHEAD": "0.05", "BABYSIT_SELECT": "O201, I3", "BABYSIT_FAIL_ON": "INFO"}
    )
    assert settings.overhead == 0.05
    assert settings.select == ("O201", "I3")
    assert settings.fail_on is Severity.INFO
    assert settings.ignore == ("F9",)


def test_the_command_line_counts_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BABYSIT_SELECT", "O201")
    monkeypatch.setenv("BABYSIT_IGNORE", "O202")
    monkeypatch.setenv("BABYSIT_STORE", "there")
    settings = settle(RuleOptions(select=("I3,F9",), fail_on="ERROR"), store="here")
    assert (settings.select, settings.ignore) == (("I3", "F9"), ("O202",))
    assert (settings.store, settings.fail_on) == ("here", Severity.ERROR)


def test_an_unknown_setting_is_answered_with_the_nearest(tmp_path):
    pyproject(tmp_path, "[tool.babysit]\nselct = ['O']\n")
    with pytest.raises(UserError, match=r"`selct` .*\[tool.babysit\] of pyproject.toml.*`select`"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("overhead = 'much'", "wrong type"),
        ("overhead = 3", "between 0 and 1"),
        ("threads = 0", "1 or more"),
        ("fail_on = 'FATAL'", "wrong type"),
        ("overhead = = 3", "not valid TOML"),
    ],
)
def test_a_wrong_value_is_a_user_error_that_names_the_file(tmp_path, text, said):
    (tmp_path / "babysit.toml").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_settings(tmp_path, {})
    assert "babysit.toml" in caught.value.where


def test_a_wrong_variable_is_named(tmp_path):
    with pytest.raises(UserError, match="BABYSIT_OVERHEAD"):
        load_settings(tmp_path, {"BABYSIT_OVERHEAD": "lots"})


def test_a_file_that_is_no_text_is_a_user_error(tmp_path):
    (tmp_path / "babysit.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not a settings file"):
        load_settings(tmp_path, {})


def test_words_may_be_separated_by_commas():
    assert split_words(("O201,I3", " F9 ", ",")) == ("O201", "I3", "F9")


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("ERROR", "WARNING", 1),
        ("WARNING", "WARNING", 1),
        ("INFO", "WARNING", 0),
        ("INFO", "INFO", 1),
        ("WARNING", "ERROR", 0),
    ],
)
def test_the_exit_code_follows_fail_on(severity, fail_on, code):
    run = Run(id="r", findings=(Finding(code="O201", name="double-softmax", severity=Severity(severity)),))
    settings = Settings(fail_on=Severity(fail_on))
    assert exit_code(run, settings) == code
    assert exit_code(run, settings, exit_zero=True) == 0


def test_a_run_without_findings_exits_with_zero():
    assert exit_code(Run(id="r"), Settings(fail_on=Severity.INFO)) == 0
