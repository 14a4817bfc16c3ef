"""Where a run takes place."""

from __future__ import annotations

import platform
import sys

import torch

import babysit
from babysit.records.run import Environment


def environment(device: str = "") -> Environment:
    """Versions, platform, device and number of threads of this process."""
    return Environment(
        python=platform.python_version(),
        torch=str(torch.__version__),  # a subclass of str, which records do not hold
        babysit=babysit.__version__,
        platform=f"{sys.platform} {platform.machine()}",
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        threads=torch.get_num_threads(),
    )
