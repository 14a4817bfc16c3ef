"""Export of a run to Weights & Biases."""

from __future__ import annotations

import importlib
import math
from typing import Any

from babysit.integrations.trackers.scalars import findings_text, rows
from babysit.records.errors import UserError
from babysit.records.run import Run


def send_wandb(run: Run, *, project: str = "babysit", mode: str = "") -> str:
    """Send the run and return its URL (its local folder if `mode` is "offline").

    Sends curves, layer metrics, settings, results and findings. Raises UserError if wandb is not installed or fails.
    """
    try:
        wandb: Any = importlib.import_module("wandb")
    except ImportError as problem:
        raise UserError("Weights & Biases is not installed", do="Run: pip install 'babysit[wandb]'") from problem
    try:
        remote = wandb.init(
            project=project, name=run.name or run.id, config=dict(run.config), mode=mode or None, reinit="create_new"
        )
    except Exception as problem:  # wandb raises many kinds: no login, no network, a refused key
        raise UserError(
            f"Weights & Biases failed: {problem}", do="Run `wandb login`, or use mode='offline'"
        ) from problem
    try:
        for step, values in rows(run):
            remote.log({name: value for name, value in values.items() if not math.isnan(value)}, step=step)
        remote.summary.update({**run.result, "verdict": run.verdict, "findings": findings_text(run)})
    finally:
        remote.finish()
    return str(remote.url or remote.dir)
