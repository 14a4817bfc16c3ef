"""What a search gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from babysit.records.trial import StageRange, Trial, Value


@final
@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search tried and found."""

    trials: tuple[Trial, ...]
    ranges: tuple[StageRange, ...]
    best: Trial | None  # None when no trial finished
    metric_name: str = ""
    mean: float | None = None  # the metric of the best over the seeds it was trained on again
    spread: float | None = None  # and its standard deviation
    ensemble: float | None = None  # the metric of the best ones asked together, when that was wanted
    importance: dict[str, float] = field(default_factory=dict)  # share of each hyperparameter in the first stage
    plans: tuple[str, ...] = ()  # what each stage was going to do, one sentence each
    notes: tuple[str, ...] = ()  # what the user should know, one sentence each
    interrupted: bool = False
    seconds: float = 0.0

    def records(self) -> list[dict[str, Value | None]]:
        """The trials as rows for a table: `pandas.DataFrame(result.records())`.

        Hyperparameters have columns of their own names; one named like another column is called `parameter_…`.
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
