"""Locations of spool files, derived from the store's address so that the next process to open it finds them."""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy.engine import URL

RUNS_FOLDER: Final = "babysit_runs"

# Default ports.
_PORTS: Final = {"postgresql": "5432", "mysql": "3306", "mariadb": "3306"}

_HERE: Final = ("", "localhost", "127.0.0.1", "::1")


class Folder(NamedTuple):
    """A folder for spool files, and the prefix of their names."""

    path: Path
    prefix: str


class SpoolPaths(NamedTuple):
    """Spool folders, preferred first; `former` are those of older versions."""

    folders: tuple[Folder, ...]
    former: tuple[Folder, ...] = ()


def for_file(file: Path) -> SpoolPaths:
    """Return the spool folders of a database file: its own folder, or the system's temporary folder."""
    return SpoolPaths((Folder(file.parent, file.name), Folder(_temporary(), _digest(str(file)))))


def for_server(target: URL, label: str) -> SpoolPaths:
    """Return the spool folders of a server database: a folder of the user, independent of the working directory."""
    own = _digest(_canonical_name(target))
    former = _digest(label)
    return SpoolPaths(
        (Folder(state_folder(), own), Folder(_temporary(), own)),
        (Folder(Path(RUNS_FOLDER).absolute(), former), Folder(_temporary(), former)),
    )


def state_folder() -> Path:
    """Return this user's folder for persistent state that is not configuration."""
    # https://specifications.freedesktop.org/basedir-spec/latest/
    configured = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(configured) if Path(configured).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:  # the user has no home folder
        return _temporary()
    return folder / "babysit"


def _temporary() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"babysit-spool-{user}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def _canonical_name(target: URL) -> str:
    """Return a canonical name of a database, equal for equivalent addresses and different logins."""
    kind = target.get_backend_name()
    # The environment may supply parts of an address: https://www.postgresql.org/docs/current/libpq-envars.html
    defaults = {name: os.environ.get(name, "") for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")}
    if kind != "postgresql":
        defaults = dict.fromkeys(defaults, "")
    host = target.host or _query(target, "host") or defaults["PGHOST"]
    port = str(target.port or _query(target, "port") or defaults["PGPORT"] or _PORTS.get(kind, ""))
    name = target.database or _query(target, "dbname") or defaults["PGDATABASE"]
    if not name and kind == "postgresql":  # the default name is that of the user
        name = target.username or _query(target, "user") or defaults["PGUSER"] or _user()
    host = host if host.startswith("/") else host.lower()  # a socket folder, or a host name
    return f"{kind}://{'localhost' if host in _HERE else host}:{port}/{name}"


def _query(target: URL, name: str) -> str:
    value = target.query.get(name, "")
    return value if isinstance(value, str) else ",".join(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
