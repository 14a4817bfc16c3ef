"""Searches hyperparameters from coarse to fine, moving ranges whose best value lies at an edge."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from babysit.data.batches import batch_bounds
from babysit.records.trial import Trial
from babysit.tuning.builder import check_build, check_choices
from babysit.tuning.coarse_to_fine import run_stages
from babysit.tuning.constant_prediction import constant_prediction
from babysit.tuning.executors.base import Build, Executor, TrainingTask
from babysit.tuning.executors.caching import CachingExecutor
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.final_evaluation import Verification, verify
from babysit.tuning.finalists import Finalist, best_configurations, note_on, run_finalists
from babysit.tuning.importance import importance, in_a_sentence
from babysit.tuning.result import SearchResult
from babysit.tuning.search_checkpoint import STUDY, SearchCheckpoint
from babysit.tuning.settings import SearchSettings
from babysit.tuning.space import Space
from babysit.tuning.space_parser import text_of
from babysit.tuning.stages import plans
from babysit.tuning.study_file import StudyFile
from babysit.tuning.trial_log import TrialLog
from babysit.tuning.vectorized.executor import VectorizedExecutor

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
    executor: Callable[[TrainingTask], Executor] | None = None,
    writer: Writer | None = None,
    progress: Progress | None = None,
    folder: Path | str | None = None,
) -> SearchResult:
    """Search the space on the training samples and rank by the validation samples; the test samples are not used.

    The same seed gives the same trials. Ctrl-C ends the search; trials that have ended are preserved.

    Args:
        build: builds a new model for given hyperparameters, preprocessing included.
        splits: training and validation samples.
        space: the initial ranges.
        settings: stages, sampler, seed.
        executor: creates the executor; None trains members of the same structure as one, in this process. Others:
            `SequentialExecutor` (one by one in plain PyTorch), `processes(workers)`, `ray_actors(workers)`.
        writer: receives trials and ranges during the search.
        progress: shows the trials and the best result so far.
        folder: stores the search, so that it can be resumed after any interruption: call again with the same folder. It
            also contains the Optuna studies for optuna-dashboard.

    Raises:
        UserError: the model cannot be built or trained, the space has a name that nothing uses, or the folder cannot be
            written or belongs to another search.
    """
    settings = settings or SearchSettings()
    workload = _workload(build, splits, space, settings)
    check_choices(space, workload)
    check_build(build, space)
    began = time.perf_counter()
    with ExitStack() as stack:
        checkpoint, study_file = None, None
        if folder is not None:
            checkpoint = stack.enter_context(SearchCheckpoint(folder, spec=_spec(workload, space, settings)))
            study_file = StudyFile(checkpoint.path / STUDY, name=checkpoint.path.resolve().parent.name or "search")
        trial_log = TrialLog(writer=writer, progress=progress, study_file=study_file)
        trial_log.constant = constant_prediction(workload.train, workload.validation)
        trainer = executor(workload) if executor else VectorizedExecutor(workload, on_progress=trial_log.tick)
        stack.callback(trainer.close)
        if checkpoint is not None:
            trainer = cache = CachingExecutor(trainer, checkpoint)
            if cache.known_at_first:
                trial_log.notes.append(f"resumed from {cache.known_at_first} results stored in {checkpoint.path}")
        end = _End()
        try:
            last = run_stages(space, executor=trainer, trial_log=trial_log, settings=settings)
            end.finalists = run_finalists(last.epochs, executor=trainer, trial_log=trial_log, settings=settings)
            end.verification = _verified(
                end, trial_log, workload, settings=settings, is_plain=executor is SequentialExecutor
            )
            if checkpoint is not None:
                checkpoint.finished()
        except KeyboardInterrupt:
            end.interrupted = True
            again = "" if checkpoint is None else f"; run the same search in {checkpoint.path} to resume it"
            trial_log.notes.append(
                f"interrupted after {len(trial_log.trials)} trials; finished trials are saved{again}"
            )
        trial_log.notes += trainer.notes
    return _result(end, trial_log, space, settings=settings, seconds=time.perf_counter() - began)


@final
@dataclass
class _End:
    """Results that are set at the end of a search."""

    finalists: tuple[Finalist, ...] = ()
    verification: Verification = field(default_factory=Verification)
    interrupted: bool = False

    def best(self, trial_log: TrialLog) -> Trial | None:
        """Return the winner on new seeds, else the best trial."""
        return trial_log.best


def _result(end: _End, trial_log: TrialLog, space: Space, *, settings: SearchSettings, seconds: float) -> SearchResult:
    winner = end.finalists[0] if end.finalists else None
    first = settings.stages[0].name
    shares = importance(trial_log.of(first), space)
    text = (*trial_log.notes, in_a_sentence(shares, first), note_on(end.finalists))
    return SearchResult(
        trials=tuple(trial_log.trials),
        ranges=tuple(trial_log.ranges),
        best=end.best(trial_log),
        metric_name=trial_log.metric_name,
        mean=winner.mean if winner else None,
        std=winner.std if winner else None,
        ensemble=end.verification.ensemble,
        importance=shares,
        plans=tuple(trial_log.plans),
        notes=tuple(note for note in (*text, end.verification.note, end.verification.ensemble_note) if note),
        interrupted=end.interrupted,
        seconds=seconds,
    )


def _workload(build: Build, splits: Splits, space: Space, settings: SearchSettings) -> TrainingTask:
    return TrainingTask(
        build=build,
        train=splits.train,
        validation=splits.validation,
        steps=_steps(splits, space, settings),
        precision=settings.precision,
        optimizer=settings.optimizer,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        batch_size=settings.batch_size,
        device=settings.device,
    )


def _steps(splits: Splits, space: Space, settings: SearchSettings) -> int:
    """Estimate the number of training steps of the planned stages."""
    rungs = [rung for stage in settings.stages for rung in plans(stage, space, settings, width=1)]
    epochs = sum(rung.cost_epochs for rung in rungs)
    return epochs * len(batch_bounds(len(splits.train), settings.batch_size))


def _spec(workload: TrainingTask, space: Space, settings: SearchSettings) -> dict[str, Any]:
    """Return what identifies a search: its space, settings and data."""
    train, validation = workload.train, workload.validation
    return {
        "space": text_of(space),
        "settings": asdict(settings),
        "data": [[*samples.x.shape, _checksum(samples.x), _checksum(samples.y)] for samples in (train, validation)],
    }


def _checksum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _verified(
    end: _End, trial_log: TrialLog, workload: TrainingTask, *, settings: SearchSettings, is_plain: bool
) -> Verification:
    """Train the winner alone, unless that is how it was trained, and evaluate the ensemble if one was requested."""
    best = end.best(trial_log)
    compare = bool(end.finalists) and not is_plain
    if best is None or not (compare or settings.ensemble > 1):
        return Verification()
    known = best_configurations(trial_log.trials, settings.ensemble)
    others = [trial for trial in known if trial.parameters != best.parameters]
    return verify([best, *others[: max(settings.ensemble - 1, 0)]], workload, compare=compare)
