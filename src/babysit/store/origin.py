"""Verifiable origin of a run: stored with the run and never taken from an export.

Anyone who can write to a store can write any user name into it. The settings of a run are therefore sealed at its
start with a key that only its user can read (HMAC-SHA256, RFC 2104). A valid seal proves that this user began this run
with these settings; anything else is treated as another user's record.
"""

from __future__ import annotations

import getpass
import hmac
import os
import platform
import secrets
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from babysit.records.run import Run
from babysit.store.spool_paths import state_folder

PART: Final = "origin"  # its name in the table of parts

# Settings that decide which code, files or machines a resumed run uses; their values are sealed.
STEERING: Final = ("source", "target", "model", "space", "skip_invalid", "executor", "workers", "address")

_KEY_NAME: Final = "origin.key"
_KEY_BYTES: Final = 32

How = Literal["begun", "imported", "saved"]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How, when and by whom a run was created; only the seal is proof."""

    how: How | Literal[""] = ""  # "" for a run of a version that did not record it
    at: str = ""  # when it was begun, imported or saved; ISO 8601, UTC
    user: str = ""
    machine: str = ""
    process: int = 0
    seal: str = ""

    def is_own(self, run: Run) -> bool:
        """Check that the user of this process began this run with its current settings."""
        key = _key(make=False)
        return self.how == "begun" and bool(key) and hmac.compare_digest(self.seal.encode(), _seal(key, run).encode())

    @property
    def words(self) -> str:
        """Describe the origin: `imported by anna on host at 2026-01-31T14:25:30+00:00`."""
        if not self.how:
            return "begun by a version of babysit that did not record the origin"
        return f"{self.how} by {self.user or 'an unknown user'} on {self.machine or 'an unknown machine'} at {self.at}"


def origin_of(run: Run, how: How) -> Origin:
    """Return the origin of a run that this process begins, imports or saves."""
    key = _key(make=True) if how == "begun" else b""
    return Origin(
        how=how,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        user=_user(),
        machine=platform.node(),
        process=os.getpid(),
        seal=_seal(key, run) if key else "",
    )


def _seal(key: bytes, run: Run) -> str:
    asked = [(name, run.config[name]) for name in STEERING if name in run.config]
    return hmac.digest(key, msgspec.json.encode([run.id, run.kind, asked]), "sha256").hex()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _key(*, make: bool) -> bytes:
    """Return the key of this user; b"" if there is none or others can read it."""
    path = state_folder() / _KEY_NAME
    with suppress(OSError):
        if make and not path.exists():
            _make_key(path)
        with path.open("rb") as file:
            if _is_private(os.fstat(file.fileno())):
                found = file.read(_KEY_BYTES + 1)
                return found if len(found) == _KEY_BYTES else b""
    return b""


def _is_private(facts: os.stat_result) -> bool:
    if not stat.S_ISREG(facts.st_mode):
        return False
    return not hasattr(os, "getuid") or (facts.st_uid == os.getuid() and not facts.st_mode & 0o077)


def _make_key(path: Path) -> None:
    """Create the key atomically, or keep one that another process has created meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
