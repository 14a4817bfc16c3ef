"""A temporary PostgreSQL server for tests and benchmarks, in a temporary folder and reached by a socket in it.

with postgres_server() as server:
    Store(server.empty_database())
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, final

from babysit.records.errors import UserError

# Where Debian-based systems install the programs; elsewhere they are on the PATH.
DEBIAN: Final = Path("/usr/lib/postgresql")
USER: Final = "babysit"

# A server on a busy machine with two cores started in 0.3 s; recovery after an immediate stop takes longer.
_START_SECONDS: Final = 60.0


def postgres_programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`, newest version first; None if PostgreSQL is not installed."""
    found = [path.parent for path in DEBIAN.glob("*/bin/postgres") if (path.parent / "initdb").exists()]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    program = shutil.which("postgres")
    return Path(program).resolve().parent if program and shutil.which("initdb") else None


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server within the block. Raises UserError if PostgreSQL is not installed."""
    programs = postgres_programs()
    if programs is None:
        raise UserError("PostgreSQL is not installed", do="On Debian: apt-get install postgresql")
    # Directly in /tmp: the path of a socket may have at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="babysit-postgres-", dir="/tmp"))
    server = PostgresServer(programs, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@final
class PostgresServer:
    """A server that can be stopped and restarted, to simulate failures."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        # PostgreSQL refuses to run as root, so another user is used.
        self._user = _another_user() if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._call("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8")

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self._folder}", "-c", "fsync=off")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._accepts_connections():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def start_if_stopped(self) -> None:
        """Start the server unless it is running."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """Stop the server immediately, with open connections; committed data is there after a restart."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            process.wait(_START_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend the server in the block: connections hang, as without a network or on a full disk."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal_all(signal.SIGCONT)

    def empty_database(self) -> str:
        """Return the address of an empty schema; a new database would take 7 MB in a thousand files."""
        name = f"store_{next(self._numbers)}"
        self._call("psql", "-q", "-h", str(self._folder), "-U", USER, "-c", f"CREATE SCHEMA {name}", "postgres")
        return f"postgresql+psycopg://{USER}@/postgres?host={self._folder}&options=-csearch_path%3D{name}"

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for process in (self._process.pid, *map(int, children)):
            os.kill(process, number)

    def _accepts_connections(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)]
        return subprocess.run(command, check=False, cwd=self._folder).returncode == 0

    def _call(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *words],
            check=False,
            capture_output=True,
            text=True,
            user=self._user,
            cwd=self._folder,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.strip()}")


def _another_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
