"""Runs the stages of a search, each with ranges set by the stage before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from babysit.analysis.constant import none_beat
from babysit.analysis.parameter_bounds import in_text
from babysit.analysis.trial_positions import edge, position_trials
from babysit.analysis.trials import best_of
from babysit.records.trial import Trial
from babysit.tuning.executors.base import Executor
from babysit.tuning.finalists import brought_nothing
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Space
from babysit.tuning.stages import next_space, plan_in_words, plans, run_stage
from babysit.tuning.trial_log import TrialLog, in_words


def run_stages(space: Space, *, executor: Executor, trial_log: TrialLog, settings: SearchSettings) -> Stage:
    """Run the stages, and extra ones while the best values lie at an edge; return the last stage."""
    why = dict.fromkeys(space.dimensions, "as given")
    why |= {name: f"as given; {warning}" for name, warning in space.warnings.items()}
    trial_log.notes += [f"{name}: {warning}" for name, warning in space.warnings.items()]
    stages = list(settings.stages)
    extra = settings.extra_stages
    done = 0
    while done < len(stages):
        stage, before = stages[done], trial_log.best
        _run(stage, space, why, order=done, executor=executor, trial_log=trial_log, settings=settings)
        done += 1
        trials = trial_log.of(stage.name)
        at_edge = _at_edge(space, trials, trial_log)
        more = done < len(stages)
        moved, why = next_space(
            space, trials, known=trial_log.trials, constant=trial_log.constant, only=None if more else at_edge
        )
        follow = bool(at_edge) and moved != space and extra > 0
        if before is not None and (more or follow) and not (at_edge and done <= len(settings.stages)):
            nothing = brought_nothing(stage, before, executor=executor, trial_log=trial_log, settings=settings)
            if nothing:
                trial_log.notes.append(nothing)
                break
        if not more and follow:
            extra -= 1
            stages.append(Stage(f"moved {settings.extra_stages - extra}", stage.trials, stage.epochs))
        elif not more:
            trial_log.notes += [f"{name}: {_advice(name, moved, why[name])}" for name in at_edge if moved != space]
        space = moved
    if trial_log.best is None and trial_log.trials:
        trial_log.notes.append(_nothing_finished(trial_log.trials))
    if none_beat(trial_log.trials, trial_log.constant):
        trial_log.notes.append("no trial beat a constant prediction, so their ranking is not meaningful")
    return stages[done - 1]


def _run(stage: Stage, space: Space, why: dict[str, str], *, order: int, executor: Executor, **rest: Any) -> None:
    trial_log, settings = rest["trial_log"], rest["settings"]
    rungs = plans(stage, space, settings, width=executor.width)
    cost = sum(rung.cost_epochs for rung in rungs)
    trial_log.begin(stage, space, why, plan=plan_in_words(rungs, sampler=settings.sampler), epochs=cost)
    run_stage(stage, space, executor=executor, trial_log=trial_log, settings=settings, seed=settings.seed + order)


def _at_edge(space: Space, trials: Sequence[Trial], trial_log: TrialLog) -> list[str]:
    """Return the names whose best values lie at an end, or the learning rate if no trial finished."""
    if best_of(trials) is None:
        return ["lr"] if "lr" in space.scales else []
    placed = {
        name: position_trials(name, scale.position, trials, trial_log.trials, constant=trial_log.constant)
        for name, scale in space.scales.items()
    }
    return [name for name in placed if edge(placed[name])]


def _advice(name: str, moved: Space, why: str) -> str:
    scale = moved.scales[name]
    return f"{why}; search again with {in_text(name, scale.low, scale.high)}"


def _nothing_finished(trials: Sequence[Trial]) -> str:
    reasons = {trial.reason for trial in trials}
    return (
        f"none of {len(trials)} trials finished ({'; '.join(sorted(reasons))}): {in_words(trials[-1])} was the last one"
    )
