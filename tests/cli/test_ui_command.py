"""`babysit ui` as a user starts and ends it."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from babysit.cli.app import main
from babysit.records.errors import UserError
from babysit.reporting.live.serving import bound


@pytest.fixture
def started(tmp_path):
    """Starts the command; gives the process and the address it printed."""
    begun = []

    def start(*words, **environment):
        command = [sys.executable, "-m", "babysit", "ui", "--store", "runs", "--port", "0", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **environment}, **pipes))
        line = begun[-1].stdout.readline()
        return begun[-1], re.search(r"http://\S+", line)[0]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_ctrl_c_ends_it_at_once_even_while_somebody_looks(started, tmp_path):
    process, address = started()
    assert address.startswith("http://127.0.0.1:")
    stream = urllib.request.urlopen(f"{address}events/runs", timeout=30)
    assert b"retry" in stream.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert err == "Stopped. Running trainings are not affected.\n"
    assert not (tmp_path / "runs").exists(), "to look is not to make"


@pytest.mark.slow
def test_beyond_this_machine_a_token_is_made_and_asked_for(started):
    _, address = started("--host", "0.0.0.0")
    plain, token = address.split("?token=")
    assert len(token) >= 16
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(plain, timeout=30)
    assert refused.value.code == 401
    asked = urllib.request.Request(plain, headers={"Authorization": f"Bearer {token}"})
    assert urllib.request.urlopen(asked, timeout=30).status == 200


def test_a_port_that_is_taken_is_said_to_be_so_with_one_that_is_free(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["ui", "--port", str(port)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"port {port} is already in use" in said
    free = int(re.search(r"Port (\d+) is free: babysit ui --port \1", said)[1])
    bound("127.0.0.1", free).close()


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("no-such-host.invalid", 0, "not an address of this machine"),
        ("203.0.113.7", 0, "not an address of this machine"),
        ("127.0.0.1", 70_000, "there is no port 70000"),
        ("127.0.0.1", -1, "there is no port -1"),
    ],
)
def test_an_address_that_cannot_be_is_told_in_one_line(host, port, words):
    with pytest.raises(UserError, match=words):
        bound(host, port)


@pytest.mark.parametrize("token", ["short", "a token with blanks in it", "größer-als-sechzehn"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["ui", "--token", token])
    assert ended.value.code == 2
    assert "a token needs at least 16" in capsys.readouterr().err
