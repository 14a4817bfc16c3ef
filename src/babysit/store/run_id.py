"""Run IDs and the identity of the writing process."""

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
    """Generate an ID that sorts by time and is pronounceable: `20260131-142530-bodilu` (UTC)."""
    # Uses the system's random source: the seeded generators of a training are never touched.
    word = "".join(secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(3))
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{word}"


def require_plain_id(run_id: str) -> None:
    """Raise UserError for an ID that is not a valid folder name or not safe to print in a terminal.

    Runs have files in folders named by their ID, and IDs are typed; a PostgreSQL key holds 2,704 bytes at most.
    """
    harmful = any(sign in run_id for sign in '/\\:*?"<>|') or run_id[:1] in (".", "-") or run_id != run_id.strip()
    if not run_id or harmful or not run_id.isprintable() or len(run_id) > _LONGEST_ID:
        shown = run_id[:40].encode("ascii", "backslashreplace").decode()
        raise UserError(
            f"{shown!r} is not a valid run ID",
            do=f"Use 1 to {_LONGEST_ID} letters, digits, dots, dashes and underscores",
        )


class ProcessInfo(msgspec.Struct, frozen=True):
    """The process that writes a run, distinguished from a later one with the same number."""

    machine: str  # host, boot and process namespace: process numbers are unique within it
    process: int
    started: str  # start time of the process as the system reports it; "" if it does not


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
    """Return the start time of the process; None if it has ended, "" if unknown on this system."""
    if (_PROC / "self/stat").exists():
        try:
            # proc(5): the name in parentheses may hold anything; the state follows, and the start time 19 fields later.
            fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    try:
        output = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return output.stdout.strip() or None


def this_process() -> ProcessInfo:
    """Return the identity of the current process."""
    return ProcessInfo(_machine(), os.getpid(), _started(os.getpid()) or "")


def is_alive(owner: ProcessInfo) -> bool | None:
    """Check whether a process still runs; None if that cannot be determined from here."""
    if owner.machine != _machine() or not owner.started:
        return None
    if owner.process == os.getpid():
        return owner.started == this_process().started
    started = _started(owner.process)
    return None if started == "" else started == owner.started
