"""Collects the trials of a search and passes them to the run store, the study file and the progress bar."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, final

from babysit.analysis.constant import Constant, none_beat
from babysit.analysis.trials import best_of, loss_key, rank_key
from babysit.records.trial import StageRange, Trial
from babysit.tuning.executors.base import TrainResult
from babysit.tuning.settings import Stage
from babysit.tuning.space import Space

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from babysit.store.writer import Writer
    from babysit.tuning.study_file import StudyFile
    from babysit.tuning.vectorized.progress import Progress as Running


@final
class TrialLog:
    """Trials ordered by number and ranges ordered by stage; each ended trial is written immediately."""

    def __init__(
        self, *, writer: Writer | None = None, progress: Progress | None = None, study_file: StudyFile | None = None
    ) -> None:
        self.trials: list[Trial] = []
        self.ranges: list[StageRange] = []
        self.notes: list[str] = []
        self.plans: list[str] = []
        self.metric_name = ""
        self.constant: Constant | None = None  # score of the best constant prediction; None if unknown
        self._writer = writer
        self._progress = progress
        self._study_file = study_file
        self._bar: TaskID | None = None
        self._stage = ""
        self._space: Space | None = None
        self._position = ""  # current rung and number of members alive, as text
        self._numbers = 0
        self._steps = 0
        self._began = 0.0

    def new_number(self) -> int:
        """Allocate the number of the next trial, counted over all stages."""
        self._numbers += 1
        return self._numbers - 1

    @property
    def best(self) -> Trial | None:
        """Return the best trial so far."""
        best = best_of(self.trials)
        return best.trial if best else None

    def ranking(self, trials: Sequence[Trial]) -> Callable[[Trial], tuple[float, ...]]:
        """Return the rank key: the training loss while no trial beats a constant prediction, else the metric."""
        return loss_key if none_beat(trials, self.constant) else rank_key

    def of(self, stage: str) -> list[Trial]:
        """Return the trials of one stage."""
        return [trial for trial in self.trials if trial.stage == stage]

    def begin(
        self,
        stage: Stage,
        space: Space | None = None,
        why: Mapping[str, str] | None = None,
        *,
        plan: str = "",
        epochs: int = 0,
    ) -> None:
        """Begin a stage: record its ranges and the reasons for them, its plan, and its number of training epochs."""
        self._stage, self._space = stage.name, space
        self._steps, self._began, self._position = 0, time.perf_counter(), ""
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
        if plan:
            self.plans.append(plan)
        if self._progress is not None:
            if plan and not self._progress.disable:
                self._progress.console.print(plan, markup=False, highlight=False)
            total = epochs or stage.trials * stage.epochs
            self._bar = self._progress.add_task(f"{stage.name} search", total=total)

    def rung(self, index: int, rungs: int, alive: int) -> None:
        """Record that `alive` members now train to this rung."""
        of_all = f" rung {index} of {rungs}," if rungs > 1 else ""
        self._position = f"{of_all} {alive} alive"

    def advanced(self, advance: TrainResult, epochs: int) -> None:
        """Record that a member was trained for some more epochs."""
        self.metric_name = advance.metric_name or self.metric_name
        self._steps += len(advance.costs)
        if self._progress is not None and self._bar is not None:
            rate = self._steps / max(time.perf_counter() - self._began, 1e-9)
            text = f"{self._stage} search:{self._position}{self._so_far()}, {rate:,.0f} steps x configs/s"
            self._progress.update(self._bar, advance=epochs, description=text)

    def tick(self, now: Running) -> None:
        """Update the progress bar between two results."""
        if self._progress is not None and self._bar is not None:
            rate = now.steps / max(now.seconds, 1e-9)
            text = f"{self._stage} search:{self._position}{self._so_far()}, {rate:,.0f} steps x configs/s"
            self._progress.update(self._bar, description=text)

    def add(self, trial: Trial) -> None:
        """Add a trial that has ended."""
        bisect.insort(self.trials, trial, key=lambda known: known.number)
        self._write()

    def rung_over(self) -> None:
        """Write the trials that have ended to the study file, after all members have reached a rung."""
        if self._study_file is not None and self._space is not None:
            problem = self._study_file.keep(self._stage, self._space, self.of(self._stage))
            if problem and problem not in self.notes:
                self.notes.append(problem)

    def end(self) -> None:
        """End the stage."""
        self.rung_over()
        if self._progress is not None and self._bar is not None:
            done = self._progress.tasks[self._progress.task_ids.index(self._bar)].completed
            self._progress.update(self._bar, total=done)

    def _so_far(self) -> str:
        best = best_of(self.of(self._stage))
        if best is None:
            return ""
        return f", best {self.metric_name} {best.metric:.3f} ({in_words(best.trial)})"

    def _write(self) -> None:
        if self._writer is not None:
            self._writer.update(trials=tuple(self.trials), ranges=tuple(self.ranges))


def in_words(trial: Trial) -> str:
    """Format the hyperparameters of a trial on one line."""
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.parameters.items()
    )
