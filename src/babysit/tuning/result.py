"""The result of a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from babysit.records.trial import StageRange, Trial, Value


@final
@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Trials, ranges and the best configuration of a search."""

    trials: tuple[Trial, ...]
    ranges: tuple[StageRange, ...]
    best: Trial | None  # None when no trial finished
    metric_name: str = ""
    mean: float | None = None  # mean metric of the best configuration over the new seeds
    std: float | None = None  # its standard deviation
    ensemble: float | None = None  # metric of the ensemble, if one was requested
    importance: dict[str, float] = field(default_factory=dict)  # by hyperparameter, in the first stage
    plans: tuple[str, ...] = ()  # the plan of each stage, one sentence each
    notes: tuple[str, ...] = ()  # one sentence each
    interrupted: bool = False
    seconds: float = 0.0

    def records(self) -> list[dict[str, Value | None]]:
        """Return the trials as rows for a table: `pandas.DataFrame(result.records())`.

        Each hyperparameter has its own column; one named like another column is called `parameter_…`.
        """
        rows: list[dict[str, Value | None]] = []
        for trial in self.trials:
            row: dict[str, Value | None] = {
                "number": trial.number,
                "stage": trial.stage,
                "state": str(trial.state),
                "reason": trial.reason,
                "metric": trial.metric,
                "epochs": trial.level,
                "step": trial.step,
                "initial_cost": trial.initial_cost,
                "last_cost": trial.last_costs[-1] if trial.last_costs else None,
                "seconds": trial.seconds,
                "seed": trial.seed,
            }
            columns = set(row)
            for name, value in trial.parameters.items():
                row[f"parameter_{name}" if name in columns else name] = value
            rows.append(row)
        return rows
