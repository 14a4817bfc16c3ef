"""Keeps what a search has found so far, and tells the store, the study file and the progress bar about it."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, final

from babysit.analysis.constant import Constant, none_beat
from babysit.analysis.trials import best_of, by_cost, merit
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
    """Trials in the order of their numbers and ranges in the order they came; every ended trial is written at once."""

    def __init__(
        self, *, writer: Writer | None = None, progress: Progress | None = None, study_file: StudyFile | None = None
    ) -> None:
        self.trials: list[Trial] = []
        self.ranges: list[StageRange] = []
        self.notes: list[str] = []
        self.plans: list[str] = []
        self.metric_name = ""
        self.constant: Constant | None = None  # what a constant answer reaches; None when it is not known
        self._writer = writer
        self._progress = progress
        self._study_file = study_file
        self._bar: TaskID | None = None
        self._stage = ""
        self._space: Space | None = None
        self._where = ""  # rung and members alive, in words
        self._numbers = 0
        self._steps = 0
        self._began = 0.0

    def new_number(self) -> int:
        """The number of the next trial, counted over all stages."""
        self._numbers += 1
        return self._numbers - 1

    @property
    def best(self) -> Trial | None:
        """The best trial so far."""
        best = best_of(self.trials)
        return best.trial if best else None

    def ranking(self, trials: Sequence[Trial]) -> Callable[[Trial], tuple[float, ...]]:
        """What these trials are ranked by: their training losses while none of them beats a constant answer."""
        return by_cost if none_beat(trials, self.constant) else merit

    def of(self, stage: str) -> list[Trial]:
        """The trials of one stage."""
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
        """A stage begins: its ranges and the reasons for them, its plan, and the epochs of training that it takes."""
        self._stage, self._space = stage.name, space
        self._steps, self._began, self._where = 0, time.perf_counter(), ""
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

    def rung(self, place: int, rungs: int, alive: int) -> None:
        """So many members now train to this rung."""
        of_all = f" rung {place} of {rungs}," if rungs > 1 else ""
        self._where = f"{of_all} {alive} alive"

    def advanced(self, advance: TrainResult, epochs: int) -> None:
        """A member was trained some epochs further."""
        self.metric_name = advance.metric_name or self.metric_name
        self._steps += len(advance.costs)
        if self._progress is not None and self._bar is not None:
            lr = self._steps / max(time.perf_counter() - self._began, 1e-9)
            words = f"{self._stage} search:{self._where}{self._so_far()}, {lr:,.0f} steps x configs/s"
            self._progress.update(self._bar, advance=epochs, description=words)

    def tick(self, now: Running) -> None:
        """Members are under way; shown between two results that are more than a moment apart."""
        if self._progress is not None and self._bar is not None:
            lr = now.steps / max(now.seconds, 1e-9)
            words = f"{self._stage} search:{self._where}{self._so_far()}, {lr:,.0f} steps x configs/s"
            self._progress.update(self._bar, description=words)

    def add(self, trial: Trial) -> None:
        """A trial has ended."""
        bisect.insort(self.trials, trial, key=lambda known: known.number)
        self._write()

    def rung_over(self) -> None:
        """All members have reached a rung: what has ended by now goes into the study file."""
        if self._study_file is not None and self._space is not None:
            problem = self._study_file.keep(self._stage, self._space, self.of(self._stage))
            if problem and problem not in self.notes:
                self.notes.append(problem)

    def end(self) -> None:
        """The stage has ended."""
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
    """The hyperparameters of a trial on one line."""
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.parameters.items()
    )
