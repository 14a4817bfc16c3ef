"""Where records wait while a store cannot be written, so that whoever opens it next finds them."""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy.engine import URL

RUNS_FOLDER: Final = "babysit_runs"

# What counts where an address names no port.
_PORTS: Final = {"postgresql": "5432", "mysql": "3306", "mariadb": "3306"}

_HERE: Final = ("", "localhost", "127.0.0.1", "::1")


class Folder(NamedTuple):
    """A folder for records that wait, and how their files begin there."""

    path: Path
    prefix: str


class SpoolPaths(NamedTuple):
    """Where records wait, best first; in the former places there may be some of an older babysit."""

    places: tuple[Folder, ...]
    former: tuple[Folder, ...] = ()


def for_file(file: Path) -> SpoolPaths:
    """For a database in a file: beside it, or in the system's temporary folder."""
    return SpoolPaths((Folder(file.parent, file.name), Folder(_temporary(), _mark(str(file)))))


def for_server(target: URL, label: str) -> SpoolPaths:
    """For a database of a server: in one folder of the user, whatever folder a program works in."""
    own = _mark(_which(target))
    former = _mark(label)
    return SpoolPaths(
        (Folder(state_folder(), own), Folder(_temporary(), own)),
        (Folder(Path(RUNS_FOLDER).absolute(), former), Folder(_temporary(), former)),
    )


def state_folder() -> Path:
    """The folder of this user for what should outlive a restart and is no setting."""
    # https://specifications.freedesktop.org/basedir-spec/latest/: what should outlive a restart and is no setting.
    said = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(said) if Path(said).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:  # nobody has a home here
        return _temporary()
    return folder / "babysit"


def _temporary() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"babysit-spool-{user}"


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def _which(target: URL) -> str:
    """What tells a database from all others; two ways to write its address, or to log in, are the same database."""
    kind = target.get_backend_name()
    # An address may leave out what the environment says: https://www.postgresql.org/docs/current/libpq-envars.html
    said = {name: os.environ.get(name, "") for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")}
    if kind != "postgresql":
        said = dict.fromkeys(said, "")
    host = target.host or _asked(target, "host") or said["PGHOST"]
    port = str(target.port or _asked(target, "port") or said["PGPORT"] or _PORTS.get(kind, ""))
    name = target.database or _asked(target, "dbname") or said["PGDATABASE"]
    if not name and kind == "postgresql":  # then it is called like who logs in
        name = target.username or _asked(target, "user") or said["PGUSER"] or _user()
    host = host if host.startswith("/") else host.lower()  # the folder of a socket, or a name
    return f"{kind}://{'localhost' if host in _HERE else host}:{port}/{name}"


def _asked(target: URL, name: str) -> str:
    said = target.query.get(name, "")
    return said if isinstance(said, str) else ",".join(said)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
