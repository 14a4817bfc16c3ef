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
from babysit.monitor.monitor import Monitor
from babysit.pipeline.run_state import begin_run
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Severity
from babysit.records.secrets import MASK, command_of, command_without_secrets, value_without_secrets, without_secrets
from babysit.records.verdict import Crash
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


@given(
    name=st.sampled_from(["api_key", "token", "password", "client-secret", "authToken", "credentials"]),
    secret=st.text(string.ascii_letters + string.digits, min_size=12, max_size=30),
    grammar=st.sampled_from(
        [
            "{n}={s}", "{n}: {s}", "{n}: Bearer {s}", "--{n} {s}", "--{n}={s}", "'{n}={s} and more'",
            '{{"{n}": "{s}"}}',
            '{{\\"{n}\\": \\"{s}\\"}}', "f(x=1, {n}='{s}')", "https://h/x?a=1&{n}={s}", "Authorization: Token {s}",
            "['tool', '--{n}', '{s}']", "https://me:{s}@h/x", "https://{s}@h/x", "--user me:{s}", "{n}=a,{s}",
            "{n} = ['{s}']",
            "https://hooks.slack.com/services/T0/{s}", "-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----",
        ]
    ),
)  # fmt: skip
def test_no_grammar_leaves_a_secret_in_a_text_and_nothing_is_masked_twice(name, secret, grammar):
    text = f"RuntimeError: boom {grammar.format(n=name, s=secret)} at step 3"
    hidden = without_secrets(text)
    assert secret not in hidden
    assert MASK in hidden
    assert hidden.startswith("RuntimeError: boom ")
    assert without_secrets(hidden) == hidden


@pytest.mark.parametrize(
    "words",
    [
        ["-H", "Authorization: Token s3cr3t"], ["-H", "Authorization: ApiKey s3cr3t"], ["-H", "X-Api-Key: s3cr3t"],
        ["--api-keys", "s3cr3t", "s3cr3t"], ["--tokens", "a", "s3cr3t"], ["--credentials", "u", "s3cr3t"],
        ["https://a/c?sv=1&sig=s3cr3t"], ["https://a/?X-Amz-Credential=s3cr3t/2026&X-Amz-Signature=s3cr3t"],
        ["--pass", "s3cr3t"], ["--pw", "s3cr3t"], ["--user", "bob:s3cr3t"], ["-u", "bob:s3cr3t"],
        ["--kv", "api_key s3cr3t"], ["--a=--password s3cr3t"], ["SENTRY_DSN=s3cr3t"], ["DB_PASS=s3cr3t"],
        ["AccountName=x;AccountKey=s3cr3t==;E=1"], ["bash", "-c", "train --password 'a s3cr3t'"], ["--key", "s3cr3t"],
    ],
)  # fmt: skip
def test_a_command_is_kept_without_what_its_names_and_places_tell_is_secret(words):
    hidden = command_of([*words, "--lr", "0.1"])
    assert "s3cr3t" not in hidden
    assert hidden.endswith(" --lr 0.1")
    assert command_without_secrets(hidden) == hidden


@given(st.text(string.printable, max_size=80))
def test_any_text_can_be_looked_through_and_nothing_is_masked_twice(text):
    for hide in (without_secrets, command_without_secrets):
        hidden = hide(text)
        assert hide(hidden) == hidden
        assert hidden == text or MASK in hidden


@pytest.mark.parametrize(
    "text",
    [
        "--tokenizer bert --max-tokens 512 --key-dim 64 --num-keys 3 --pass-through --passes 3 --user-id 12",
        "sort_key=len monkey=1 author=jane n_tokens=512 --keys image label --password-file /run/x",
        "commit 4b1c9d0e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c of run 20261129-232531-ab12cd",
        "checkpoints/key/token/best.pt --lr 3e-4",
        "Error in forward pass: shape mismatch",
        "Missing key(s) in state_dict: a.b; missing key: encoder.layer1.weight",
        "eos_token=</s> pad_token=<pad> token_type_ids: [1]",
        "a basic training loop with bearer authentication",
        "sk-learn-contrib-extras and hf_transformers_model_of_ours",
        "ssh://git@github.com/me/x.git and https://user.github.io/a@1.2/x",
    ],
)
def test_words_of_training_are_no_secrets(text):
    assert without_secrets(text) == text
    assert command_without_secrets(text) == text


@pytest.mark.parametrize(
    "unit",
    ["a", "n_tokens=", "sort_key=", "://x:@", "-eyJ", "hook", "token '", "user=a:", "key=a,b", "Authorization: "],
)
def test_time_grows_with_the_length_of_a_text_and_no_faster(unit):
    """One whose time grew with the square would take many minutes."""
    assert without_secrets(unit * (200_000 // len(unit)))


def test_a_crash_that_tells_secrets_tells_them_nowhere(tmp_path):
    told = "boom api_key=abcdEFGH1234 postgres://u:hunter2x@h/d"
    with pytest.raises(RuntimeError), Monitor() as watching:
        raise RuntimeError(f"{'x' * 980} {told}")  # its message is cut within the secrets
    run = msgspec.structs.replace(watching.run, stop_reason=f"RuntimeError: {told}")
    said = Finding(code="T001", name="measurement-gap", severity=Severity.WARNING, message=told)
    whole = msgspec.structs.replace(run, crash=Crash(kind="RuntimeError", message=told), findings=(said,))
    texts = [report(one, format=form) for one in (run, whole) for form in ("html", "text", "json", "md", "sarif")]
    with Store(str(tmp_path)) as store:
        writer = store.open_writer(healthy_run())
        writer.update(stop_reason=told, config={"note": told}, command=f"train {told}")
        writer.close()
        assert MASK in store.load(healthy_run().id).stop_reason
        store.save(whole)
        for end in ("json", "csv"):
            write_run(RunFile(run=store.load(whole.id)), tmp_path / f"out.{end}")
            texts.append((tmp_path / f"out.{end}").read_text())
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in ("abcdEFGH", "hunter2"):
        assert secret not in "".join(texts)
        assert secret.encode() not in kept
    assert all("boom" in text for text in texts[5:])  # Markdown and HTML write "***" in their own way


@given(told=told())
def test_no_secret_is_left_in_a_command(told):
    words, secret = told
    hidden = command_of(words)
    assert secret not in hidden
    assert secret not in command_without_secrets(shlex.join(words))
    assert shlex.split(hidden)[:3] == words[:3]
    assert shlex.split(hidden)[-2:] == words[-2:]
    assert command_without_secrets(hidden) == hidden  # nothing is masked twice


@pytest.mark.slow
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
