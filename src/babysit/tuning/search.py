"""Searches hyperparameters from coarse to fine, moving ranges whose best value lies at an edge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babysit.data.batches import batch_bounds
from babysit.records.trial import Trial
from babysit.rules.search.placed import edge, place
from babysit.tuning.builder import check_build
from babysit.tuning.executor import Build, Executor, Workload
from babysit.tuning.finalists import Finalist, best_configurations, brought_nothing, note_on, run_finalists
from babysit.tuning.folder import STUDY, SearchFolder
from babysit.tuning.importance import importance, in_a_sentence
from babysit.tuning.in_process import InProcess
from babysit.tuning.ledger import Ledger, best_of, in_words
from babysit.tuning.population.population import Population
from babysit.tuning.remembered import Remembered
from babysit.tuning.replay import Replayed, replay
from babysit.tuning.result import SearchResult
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Space
from babysit.tuning.space_text import text_of
from babysit.tuning.stages import next_space, plan_in_words, plans, run_stage
from babysit.tuning.study_file import StudyFile

if TYPE_CHECKING:
    from rich.progress import Progress

    from babysit.data.splits import Splits
    from babysit.store.writer import Writer


def search(
    build: Build,
    splits: Splits,
    *,
    space: Space,
    settings: SearchSettings | None = None,
    executor: Callable[[Workload], Executor] | None = None,
    writer: Writer | None = None,
    progress: Progress | None = None,
    folder: Path | str | None = None,
) -> SearchResult:
    """Searches the space on the training samples and ranks by the validation samples; the test samples stay unseen.

    The same seed gives the same trials. Ctrl-C ends the search and keeps every trial that had ended.

    Args:
        build: makes a new model for given hyperparameters, preprocessing included.
        splits: training and validation samples.
        space: the ranges to begin with.
        settings: stages, sampler, seed.
        executor: who trains; None trains members of one shape as one, in this process. Others: `InProcess` (one by one
            in plain PyTorch), `processes(workers)`, `ray_actors(workers)`.
        writer: where trials and ranges are kept as they come.
        progress: where trials and the best so far are shown.
        folder: where the search is written down, so that it can go on after any interruption: call again with the same
            folder. It also gets the studies for optuna-dashboard.

    Raises:
        UserError: the model cannot be built or trained, the space holds a name that nothing uses, or the folder cannot
            be written or holds another search.
    """
    settings = settings or SearchSettings()
    check_build(build, space)
    began = time.perf_counter()
    workload = _workload(build, splits, space, settings)
    with ExitStack() as stack:
        kept, study_file = None, None
        if folder is not None:
            kept = stack.enter_context(SearchFolder(folder, asked=_asked(workload, space, settings)))
            study_file = StudyFile(kept.path / STUDY, name=kept.path.resolve().parent.name or "search")
        ledger = Ledger(writer=writer, progress=progress, study_file=study_file)
        trainer = executor(workload) if executor else Population(workload, told=ledger.tick)
        stack.callback(trainer.close)
        remembered = Remembered(trainer, kept) if kept else None
        if kept and remembered and remembered.known_at_first:
            ledger.notes.append(f"went on from {remembered.known_at_first} results written down in {kept.path}")
        interrupted = False
        finalists: tuple[Finalist, ...] = ()
        replayed = Replayed()
        try:
            last = _all_stages(space, executor=remembered or trainer, ledger=ledger, settings=settings)
            finalists = run_finalists(last.epochs, executor=remembered or trainer, ledger=ledger, settings=settings)
            best = finalists[0].trial if finalists else ledger.best
            compare = executor is not InProcess and bool(finalists)
            replayed = _replayed(best, ledger.trials, workload, settings=settings, compare=compare)
            if kept is not None:
                kept.finished()
        except KeyboardInterrupt:
            interrupted = True
            again = "" if kept is None else f"; the same search in {kept.path} goes on from there"
            ledger.notes.append(f"interrupted after {len(ledger.trials)} trials; what had ended is kept{again}")
        ledger.notes += (remembered or trainer).notes
    winner = finalists[0] if finalists else None
    first = settings.stages[0].name
    shares = importance(ledger.of(first), space)
    said = (*ledger.notes, in_a_sentence(shares, first), note_on(finalists), replayed.note, replayed.ensemble_note)
    return SearchResult(
        trials=tuple(ledger.trials),
        ranges=tuple(ledger.ranges),
        best=winner.trial if winner else ledger.best,
        metric_name=ledger.metric_name,
        mean=winner.mean if winner else None,
        spread=winner.spread if winner else None,
        ensemble=replayed.ensemble,
        importance=shares,
        plans=tuple(ledger.plans),
        notes=tuple(note for note in said if note),
        interrupted=interrupted,
        seconds=time.perf_counter() - began,
    )


def _workload(build: Build, splits: Splits, space: Space, settings: SearchSettings) -> Workload:
    return Workload(
        build=build,
        train=splits.train,
        validation=splits.validation,
        steps=_steps(splits, space, settings),
        precision=settings.precision,
        optimizer=settings.optimizer,
        rate=settings.rate,
        weight_decay=settings.weight_decay,
        batch_size=settings.batch_size,
        device=settings.device,
    )


def _steps(splits: Splits, space: Space, settings: SearchSettings) -> int:
    """About how many steps of training the planned stages take."""
    rungs = [rung for stage in settings.stages for rung in plans(stage, space, settings, width=1)]
    epochs = sum(rung.cost_epochs for rung in rungs)
    return epochs * len(batch_bounds(len(splits.train), settings.batch_size))


def _asked(workload: Workload, space: Space, settings: SearchSettings) -> dict[str, Any]:
    """What makes a search this one: another space, setting or set of data is another search."""
    train, validation = workload.train, workload.validation
    return {
        "space": text_of(space),
        "settings": asdict(settings),
        "data": [
            [*samples.x.shape, float(samples.x.double().sum()), float(samples.y.double().sum())]
            for samples in (train, validation)
        ],
    }


def _all_stages(space: Space, *, executor: Executor, ledger: Ledger, settings: SearchSettings) -> Stage:
    """Runs the stages, and more of them while the best lie at an edge; gives the last one."""
    why = dict.fromkeys(space.dimensions, "as asked for")
    why |= {name: f"as asked for; {warning}" for name, warning in space.warnings.items()}
    ledger.notes += [f"{name}: {warning}" for name, warning in space.warnings.items()]
    stages = list(settings.stages)
    extra = settings.extra_stages
    done = 0
    while done < len(stages):
        stage, before = stages[done], ledger.best
        _run(stage, space, why, order=done, executor=executor, ledger=ledger, settings=settings)
        done += 1
        trials = ledger.of(stage.name)
        at_edge = _at_edge(space, trials, ledger.trials)
        more = done < len(stages)
        moved, why = next_space(space, trials, known=ledger.trials, only=None if more else at_edge)
        follow = bool(at_edge) and moved != space and extra > 0
        if before is not None and (more or follow) and not (at_edge and done <= len(settings.stages)):
            nothing = brought_nothing(stage, before, executor=executor, ledger=ledger, settings=settings)
            if nothing:
                ledger.notes.append(nothing)
                break
        if not more and follow:
            extra -= 1
            stages.append(Stage(f"moved {settings.extra_stages - extra}", stage.trials, stage.epochs))
        elif not more:
            ledger.notes += [f"{name}: {_advice(name, moved, why[name])}" for name in at_edge if moved != space]
        space = moved
    if ledger.best is None and ledger.trials:
        ledger.notes.append(_nothing_finished(ledger.trials))
    return stages[done - 1]


def _run(stage: Stage, space: Space, why: dict[str, str], *, order: int, executor: Executor, **rest: Any) -> None:
    ledger, settings = rest["ledger"], rest["settings"]
    rungs = plans(stage, space, settings, width=executor.width)
    cost = sum(rung.cost_epochs for rung in rungs)
    ledger.begin(stage, space, why, plan=plan_in_words(rungs), epochs=cost)
    run_stage(stage, space, executor=executor, ledger=ledger, settings=settings, seed=settings.seed + order)


def _replayed(
    best: Trial | None, trials: Sequence[Trial], workload: Workload, *, settings: SearchSettings, compare: bool
) -> Replayed:
    """The winner alone, and the best together when they are wanted."""
    if best is None or not (compare or settings.ensemble > 1):
        return Replayed()
    others = [trial for trial in best_configurations(trials, settings.ensemble) if trial.parameters != best.parameters]
    return replay([best, *others[: max(settings.ensemble - 1, 0)]], workload, compare=compare)


def _at_edge(space: Space, trials: Sequence[Trial], known: Sequence[Trial]) -> list[str]:
    """The names whose best values lie at an end, or the rate when nothing finished."""
    if best_of(trials) is None:
        return ["rate"] if "rate" in space.scales else []
    return [name for name, scale in space.scales.items() if edge(place(name, scale.position, trials, known))]


def _advice(name: str, moved: Space, why: str) -> str:
    scale = moved.scales[name]
    return f"{why}; search again with {name}={scale.low:.2g}..{scale.high:.2g}"


def _nothing_finished(trials: Sequence[Trial]) -> str:
    reasons = {trial.reason for trial in trials}
    return f"none of {len(trials)} trials finished ({'; '.join(sorted(reasons))}): {in_words(trials[-1])} was the last"
