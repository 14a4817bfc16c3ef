"""Secrets in what becomes part of a run: found by name, by place and by shape, and nowhere left."""

from __future__ import annotations

import json
import shlex
import string
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from babysit.cli.app import main
from babysit.pipeline.run_state import begin_run
from babysit.records.errors import UserError
from babysit.records.run import run_without_secrets
from babysit.records.secrets import MASK, command_of, command_without_secrets, value_without_secrets, without_secrets
from babysit.reporting.report import report
from babysit.store.run_file import RunFile, read_run, write_run
from babysit.store.store import Store
from babysit.testing.synthetic_runs import healthy_run

# Long enough that a secret is not found by chance in a page.
secrets = st.text(string.ascii_letters + string.digits + "!$%^*+-_.:/?#~ ", min_size=12, max_size=30).filter(
    lambda text: (
        text == text.strip() and not text.startswith("-") and any(map(str.isalpha, text)) and " " * 2 not in text
    )
)
names = st.sampled_from(
    ["api-key", "api_key", "token", "hf-token", "client_secret", "password", "db-passwd", "pwd", "credentials", "auth",
     "aws_secret_access_key", "APIKEY", "accessToken", "wandb-api-key"]
)  # fmt: skip


@st.composite
def told(draw: st.DrawFn) -> tuple[list[str], str]:
    """Words of a command line with a secret among them, and the secret."""
    secret, name = draw(secrets), draw(names)
    plain = secret.replace(" ", "").replace("/", "").replace("?", "").replace("#", "")
    ways = [
        ([f"--{name}", secret], secret),
        ([f"--{name}={secret}"], secret),
        ([f"-{name}", secret], secret),
        ([f"{name.upper().replace('-', '_')}={secret}"], secret),
        ([f"trainer.{name}={secret}"], secret),
        (["--store", f"postgresql+psycopg://me:{plain}@host/runs"], plain),
        (["--store", f"postgresql://host/runs?user=me&password={plain}"], plain),
        ([f"--url=https://me:{plain}@example.org/x.git"], plain),
    ]
    words, secret = draw(st.sampled_from(ways))
    return ["train.py", "--epochs", "3", *words, "--lr", "0.1"], secret


@given(told=told())
def test_no_secret_is_left_in_a_command(told):
    words, secret = told
    hidden = command_of(words)
    assert secret not in hidden
    assert secret not in command_without_secrets(shlex.join(words))
    assert shlex.split(hidden)[:3] == words[:3]
    assert shlex.split(hidden)[-2:] == words[-2:]
    assert command_without_secrets(hidden) == hidden  # nothing is masked twice


@given(told=told())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_secret_comes_out_of_a_run_that_was_kept_whole(told, tmp_path_factory):
    """As an older babysit kept it: every way out hides it, and so does bringing it in from a file."""
    words, secret = told
    folder = tmp_path_factory.mktemp("kept")
    old = msgspec.structs.replace(
        healthy_run(),
        command=shlex.join(words),
        config={"api_key": secret, "address": f"ray://me:{secret.replace(' ', '')}@host", "note": shlex.join(words)},
        stop_reason=f"ConnectionError: {shlex.join(words)}",
    )
    write_run(RunFile(run=old), folder / "old.json")
    with Store(str(folder)) as store:
        store.save(read_run(folder / "old.json").run)
        run = store.load(old.id)
    told_by = [report(run, format=form) for form in ("html", "text", "json", "md", "sarif")]
    for end in ("json", "csv", "parquet"):
        write_run(RunFile(run=run), folder / f"out.{end}")
        told_by.append((folder / f"out.{end}").read_bytes().decode("latin-1"))
    plain = secret.replace(" ", "")
    for text in told_by:
        assert secret not in text
        assert json.dumps(secret)[1:-1] not in text
        assert plain not in text


@pytest.mark.parametrize(
    "text",
    [
        "babysit search digits lr=1e-4..1e-1 key_dim=32,64 --num-tokens 128 --max-new-tokens=256",
        "python train.py --epochs 3 --lr 0.1 data/a.csv 'with space'",
        "python train.py --use-auth-token true --data s3://bucket/key/path.csv",
        "babysit run digits --store postgresql+psycopg://me@host:5432/runs",
        "scikit-learn and sk-learn are words",
        "the loss: 0.5 (epoch 3)",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text):
    assert command_without_secrets(text) == text
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnop1234", "hf_abcdefghijklmnopqrstuvwx", "ghp_" + "a1" * 18, "github_pat_" + "b2" * 15,
        "AKIAIOSFODNN7EXAMPLE", "xoxb-1234567890-abcdef", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4",
    ],
)  # fmt: skip
def test_tokens_of_known_shapes_are_hidden_wherever_they_stand(secret):
    for text in (secret, f"login {secret}", f"https://{secret}@github.com/me/x", f"x={secret}", f"'{secret}'"):
        assert secret not in without_secrets(text)
        assert secret not in command_of(["tool", text])
        assert secret not in str(value_without_secrets("note", text))


def test_a_setting_is_hidden_by_its_name_and_numbers_stay():
    assert value_without_secrets("wandb_key", "0123456789abcdef" * 2 + "01234567") == MASK
    assert value_without_secrets("password", 12345) == MASK
    assert value_without_secrets("num_tokens", 128) == 128
    assert value_without_secrets("lr", 0.1) == 0.1
    assert value_without_secrets("skip_invalid", True) is True


def test_a_run_without_secrets_stays_the_same_object():
    run = healthy_run()
    assert run_without_secrets(run) is run


def test_a_run_begins_without_the_secrets_of_its_command(monkeypatch):
    monkeypatch.setattr("sys.argv", ["babysit", "fit", "digits", "--store", "postgresql+psycopg://u:hunter2x@h/d"])
    run = begin_run("fit", {"source": "digits", "token": "abcdef", "address": "ray://u:hunter2x@h"})
    assert run.command == "babysit fit digits --store 'postgresql+psycopg://u:***@h/d'"
    assert run.config == {"source": "digits", "token": MASK, "address": f"ray://u:{MASK}@h"}


@pytest.mark.parametrize(
    "address", ["postgresql+psycopg://u:hunter2x@127.0.0.1:1/x", "nothing+such://u:hunter2x@h/x", "://u:hunter2x@h"]
)
def test_messages_about_a_store_do_not_tell_its_password(address, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["runs", "--store", address])
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert "hunter2x" not in out + err
    assert "hunter2x" not in str(UserError("no answer", where=f"postgresql://u:hunter2x@h/{Path('x')}"))
