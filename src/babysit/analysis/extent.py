"""How much of a run was seen."""

from __future__ import annotations

from babysit.records.run import Run


def steps(run: Run) -> int:
    """Count the optimizer steps that the run saw."""
    seen = [run.events.steps, run.overhead.steps if run.overhead else 0]
    # What is measured in a step carries its number, from 0; an evaluation carries the number of steps before it.
    seen += [
        int(series.steps[-1]) + (0 if name.endswith("validation") else 1)
        for name, series in run.curves.series.items()
        if len(series)
    ]
    return max(seen)


def measured(run: Run) -> bool:
    """Say whether there is anything to judge: a curve, a sampled step, a check or a trial."""
    curves = any(len(series) for series in run.curves.series.values())
    return bool(curves or len(run.layer_metrics.steps) or run.experiments or run.trials)
