"""Searches hyperparameters from coarse to fine, moving ranges whose best value lies at an edge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from babysit.records.trial import StageRange, Trial
from babysit.tuning.builder import check_build
from babysit.tuning.executor import Build, Executor, Workload
from babysit.tuning.finalists import Finalist, note_on, run_finalists
from babysit.tuning.importance import importance, in_a_sentence
from babysit.tuning.in_process import InProcess
from babysit.tuning.ledger import Ledger, best_of, in_words
from babysit.tuning.ranges import edge, place
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Space
from babysit.tuning.stages import next_space, run_stage

if TYPE_CHECKING:
    from rich.progress import Progress

    from babysit.data.splits import Splits
    from babysit.store.writer import Writer


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
    importance: dict[str, float] = field(default_factory=dict)  # share of each hyperparameter in the first stage
    notes: tuple[str, ...] = ()  # what the user should know, one sentence each
    interrupted: bool = False
    seconds: float = 0.0


def search(
    build: Build,
    splits: Splits,
    *,
    space: Space,
    settings: SearchSettings | None = None,
    executor: Callable[[Workload], Executor] = InProcess,
    writer: Writer | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Searches the space on the training samples and ranks by the validation samples; the test samples stay unseen.

    The same seed gives the same trials. Ctrl-C ends the search and keeps every trial that had ended.

    Args:
        build: makes a new model for given hyperparameters, preprocessing included.
        splits: training and validation samples.
        space: the ranges to begin with.
        settings: stages, sampler, seed.
        executor: who trains; in this process unless told otherwise.
        writer: where trials and ranges are kept as they come.
        progress: where trials and the best so far are shown.

    Raises:
        UserError: the model cannot be built or trained, or the space holds a name that nothing uses.
    """
    settings = settings or SearchSettings()
    check_build(build, space)
    began = time.perf_counter()
    ledger = Ledger(writer=writer, progress=progress)
    trainer = executor(_workload(build, splits, settings))
    interrupted = False
    finalists: tuple[Finalist, ...] = ()
    try:
        last = _all_stages(space, executor=trainer, ledger=ledger, settings=settings)
        finalists = run_finalists(last.epochs, executor=trainer, ledger=ledger, settings=settings)
    except KeyboardInterrupt:
        interrupted = True
        ledger.notes.append(f"interrupted after {len(ledger.trials)} trials; what had ended is kept")
    finally:
        trainer.close()
    winner = finalists[0] if finalists else None
    first = settings.stages[0].name
    shares = importance(ledger.of(first), space)
    return SearchResult(
        trials=tuple(ledger.trials),
        ranges=tuple(ledger.ranges),
        best=winner.trial if winner else ledger.best,
        metric_name=ledger.metric_name,
        mean=winner.mean if winner else None,
        spread=winner.spread if winner else None,
        importance=shares,
        notes=tuple(note for note in (*ledger.notes, in_a_sentence(shares, first), note_on(finalists)) if note),
        interrupted=interrupted,
        seconds=time.perf_counter() - began,
    )


def _workload(build: Build, splits: Splits, settings: SearchSettings) -> Workload:
    return Workload(
        build=build,
        train=splits.train,
        validation=splits.validation,
        optimizer=settings.optimizer,
        rate=settings.rate,
        weight_decay=settings.weight_decay,
        batch_size=settings.batch_size,
        device=settings.device,
    )


def _all_stages(space: Space, *, executor: Executor, ledger: Ledger, settings: SearchSettings) -> Stage:
    """Runs the stages, and more of them while the best lie at an edge; gives the last one."""
    why = dict.fromkeys(space.dimensions, "as asked for")
    why |= {name: f"as asked for; {warning}" for name, warning in space.warnings.items()}
    ledger.notes += [f"{name}: {warning}" for name, warning in space.warnings.items()]
    stages = list(settings.stages)
    extra = settings.extra_stages
    for order, stage in enumerate(stages):  # grows while it is gone through
        ledger.begin(stage, space, why)
        run_stage(stage, space, executor=executor, ledger=ledger, settings=settings, seed=settings.seed + order)
        trials = ledger.of(stage.name)
        if order + 1 < len(stages):
            space, why = next_space(space, trials)
            continue
        at_edge = _at_edge(space, trials)
        moved, why = next_space(space, trials, only=at_edge)
        if at_edge and moved != space and extra > 0:
            extra -= 1
            stages.append(Stage(f"moved {settings.extra_stages - extra}", stage.trials, stage.epochs))
            space = moved
        else:
            ledger.notes += [f"{name}: {_advice(name, moved, why[name])}" for name in at_edge if moved != space]
    if ledger.best is None and ledger.trials:
        ledger.notes.append(_nothing_finished(ledger.trials))
    return stages[-1]


def _at_edge(space: Space, trials: Sequence[Trial]) -> list[str]:
    """The names whose best values lie at an end, or the rate when nothing finished."""
    if best_of(trials) is None:
        return ["rate"] if "rate" in space.scales else []
    return [name for name, scale in space.scales.items() if edge(place(name, scale, trials))]


def _advice(name: str, moved: Space, why: str) -> str:
    scale = moved.scales[name]
    return f"{why}; search again with {name}={scale.low:.2g}..{scale.high:.2g}"


def _nothing_finished(trials: Sequence[Trial]) -> str:
    reasons = {trial.reason for trial in trials}
    return f"none of {len(trials)} trials finished ({'; '.join(sorted(reasons))}): {in_words(trials[-1])} was the last"
