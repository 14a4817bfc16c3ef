"""Environment of a run: versions, platform, device and code."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

import babysit
from babysit.records.run import Environment

GIT_SECONDS = 1.0  # timeout, for repositories on slow disks


def environment(device: str = "") -> Environment:
    """Return versions, platform, device, number of threads and code of this process."""
    script = _script()
    return Environment(
        python=platform.python_version(),
        torch=str(torch.__version__),  # a subclass of str, which records do not accept
        babysit=babysit.__version__,
        platform=f"{sys.platform} {platform.machine()}",
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        threads=torch.get_num_threads(),
        script=script.name if script else "",
        code=_digest(script) if script else "",
        commit=_commit(script.parent) if script else "",
    )


def _script() -> Path | None:
    """Return the Python file that was started, or None."""
    started = Path(sys.argv[0]) if sys.argv and sys.argv[0] else None
    return started if started is not None and started.suffix == ".py" and started.is_file() else None


def _digest(script: Path) -> str:
    try:
        return hashlib.sha256(script.read_bytes()).hexdigest()[:12]
    except OSError:
        return ""


@cache
def _commit(folder: Path) -> str:
    """Return the commit of the repository that contains a folder; "" without a repository or git."""
    outputs = []
    for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no")):
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True, text=True, timeout=GIT_SECONDS, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ""
        outputs.append(done.stdout.strip())
    return outputs[0] + ("+" if outputs[1] else "")
