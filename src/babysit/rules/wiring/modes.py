"""Train and eval mode of the network over a run, from its events."""

from __future__ import annotations

from babysit.analysis.model_structure import is_batch_norm, model_summary_of
from babysit.records.run import Run


def mode_matters(run: Run) -> tuple[str, ...]:
    """Return what differs between the modes: dropouts with a nonzero probability, and trained batch norms."""
    model_summary = model_summary_of(run)
    frozen = {layer.name for layer in model_summary.layers if is_batch_norm(layer) and not layer.trainable}
    return tuple(dict.fromkeys(effect for path, effect in model_summary.mode_dependent.items() if path not in frozen))


def steps_in_eval_mode(run: Run) -> int:
    """Count the optimizer steps taken while the whole network was in eval mode."""
    total, since = 0, None
    for event in run.events.kept:
        if event.kind == "eval_mode" and since is None:
            since = event.step
        elif event.kind == "train_mode" and since is not None:
            total, since = total + event.step - since, None
    return total + (run.events.steps - since if since is not None else 0)
