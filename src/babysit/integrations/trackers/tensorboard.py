"""Export of a run to TensorBoard: curves and layer metrics as scalars, findings and settings as text."""

from __future__ import annotations

from pathlib import Path

from babysit.integrations.trackers.scalars import findings_text, scalars
from babysit.records.errors import UserError
from babysit.records.run import Run


def write_tensorboard(run: Run, folder: str | Path) -> Path:
    """Write the run below `folder` and return the folder of its event file.

    View it with `tensorboard --logdir folder`. Raises UserError when TensorBoard is not installed or the folder
    cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise UserError("TensorBoard is not installed", do="Run: pip install 'babysit[tensorboard]'") from problem
    target = Path(folder) / run.id
    try:
        target.mkdir(parents=True, exist_ok=True)
        writer = SummaryWriter(str(target))
    except OSError as problem:
        raise UserError(
            f"the folder cannot be written: {problem.strerror}", where=str(target), do="Choose another folder"
        ) from problem
    try:
        for name, step, value in scalars(run):
            writer.add_scalar(name, value, step)
        writer.add_text("findings", findings_text(run))
        config = "\n".join(f"- {name}: {value}" for name, value in run.config.items())
        writer.add_text("config", config or "no settings recorded")
        for name, value in run.result.items():
            writer.add_scalar(f"result/{name}", value, run.events.steps)
    finally:
        writer.close()
    return target
