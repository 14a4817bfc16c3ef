"""Keeps what a search has found so far, and tells the store and the progress bar about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

from babysit.records.trial import StageRange, Trial, TrialState
from babysit.tuning.settings import Stage
from babysit.tuning.space import Space

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from babysit.store.writer import Writer


@final
class Ledger:
    """Trials and ranges in the order they came; every finished trial is written at once."""

    def __init__(self, *, writer: Writer | None = None, progress: Progress | None = None) -> None:
        self.trials: list[Trial] = []
        self.ranges: list[StageRange] = []
        self.notes: list[str] = []
        self.metric_name = ""
        self._writer = writer
        self._progress = progress
        self._bar: TaskID | None = None
        self._stage = ""

    @property
    def next_number(self) -> int:
        """The number of the next trial, counted over all stages."""
        return len(self.trials)

    @property
    def best(self) -> Trial | None:
        """The finished trial with the highest metric."""
        return best_of(self.trials)

    def of(self, stage: str) -> list[Trial]:
        """The trials of one stage."""
        return [trial for trial in self.trials if trial.stage == stage]

    def begin(self, stage: Stage, space: Space | None = None, why: Mapping[str, str] | None = None) -> None:
        """A stage begins, with these ranges for these reasons when it draws from a space."""
        self._stage = stage.name
        for name, scale in (space.scales if space else {}).items():
            self.ranges.append(
                StageRange(
                    stage=stage.name,
                    parameter=name,
                    low=scale.low,
                    high=scale.high,
                    log=not scale.linear,
                    why=(why or {}).get(name, ""),
                )
            )
        self._write()
        if self._progress is not None:
            self._bar = self._progress.add_task(f"{stage.name} search", total=stage.trials)

    def add(self, trial: Trial) -> None:
        """A trial has ended."""
        self.trials.append(trial)
        self._write()
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, advance=1, description=f"{self._stage} search{self._so_far()}")

    def end(self) -> None:
        """The stage has ended, with as many trials as it had."""
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, total=len(self.of(self._stage)))

    def _so_far(self) -> str:
        best = best_of(self.of(self._stage))
        if best is None:
            return ""
        return f", best {self.metric_name} {best.metric:.3f} ({in_words(best)})"

    def _write(self) -> None:
        if self._writer is not None:
            self._writer.update(trials=tuple(self.trials), ranges=tuple(self.ranges))


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the highest metric; among equals the one whose last costs are lowest."""
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(finished, key=merit, default=None)


def merit(trial: Trial) -> tuple[float, float, int]:
    """What trials are ranked by: metric, then low cost, then the earlier number.

    A few hundred validation samples often give two trials the same accuracy; the cost tells them apart.
    """
    cost = sum(trial.last_costs) / len(trial.last_costs) if trial.last_costs else float("inf")
    metric = float("-inf") if trial.metric is None else trial.metric
    return metric, -cost, -trial.number


def in_words(trial: Trial) -> str:
    """The hyperparameters of a trial on one line."""
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.parameters.items()
    )
