"""Who a run is and which process writes it."""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from babysit.records.errors import UserError

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_LONGEST_ID = 200
_PROC = Path("/proc")


def new_run_id() -> str:
    """A fresh name for a run that sorts by time and can be said aloud: `20260131-142530-bodilu` (UTC)."""
    # From the system's own randomness: the seeded generators of a training are never touched.
    word = "".join(secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(3))
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{word}"


def require_plain_id(run_id: str) -> None:
    """Raises UserError for an id that could not be the name of a folder or would harm a terminal.

    Runs have files in folders of their id, and ids are typed; a key of PostgreSQL holds 2,704 bytes at most.
    """
    harmful = any(sign in run_id for sign in '/\\:*?"<>|') or run_id[:1] in (".", "-") or run_id != run_id.strip()
    if not run_id or harmful or not run_id.isprintable() or len(run_id) > _LONGEST_ID:
        shown = run_id[:40].encode("ascii", "backslashreplace").decode()
        raise UserError(
            f"{shown!r} cannot be the id of a run",
            do=f"Use 1 to {_LONGEST_ID} letters, digits, dots, dashes and underscores",
        )


class ProcessInfo(msgspec.Struct, frozen=True):
    """The process that writes a run, told apart from a later one that was given the same number."""

    machine: str  # host, boot and process namespace: within one of these a process number means one process
    process: int
    started: str  # when that process started, as the system says it; "" where the system does not say


@cache
def _machine() -> str:
    boot = _PROC / "sys/kernel/random/boot_id"
    namespace = _PROC / "self/ns/pid"
    return "/".join(
        (
            platform.node(),
            boot.read_text().strip() if boot.exists() else "",
            os.readlink(namespace) if namespace.exists() else "",
        )
    )


def _started(process: int) -> str | None:
    """When the process started; None when it is gone, "" when this system cannot tell."""
    if (_PROC / "self/stat").exists():
        try:
            # proc(5): the name in parentheses may hold anything; after it come the state and, 19 fields on, the start.
            fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    try:
        answer = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip() or None


def this_process() -> ProcessInfo:
    """The process that asks."""
    return ProcessInfo(_machine(), os.getpid(), _started(os.getpid()) or "")


def is_alive(owner: ProcessInfo) -> bool | None:
    """Whether that process still runs; None when that cannot be told from here."""
    if owner.machine != _machine() or not owner.started:
        return None
    if owner.process == os.getpid():
        return owner.started == this_process().started
    started = _started(owner.process)
    return None if started == "" else started == owner.started
