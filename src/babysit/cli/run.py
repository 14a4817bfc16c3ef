"""`babysit run`: the full workflow on one dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from babysit.cli.data_options import DEFAULT_DATA_OPTIONS, TRAINING, Data, DataOptions, loading, set_threads
from babysit.cli.options import (
    DEFAULT_RULE_OPTIONS,
    DEFAULT_STORE_OPTIONS,
    Json,
    RuleOptions,
    StoreOptions,
    exit_code,
    judged,
    settle,
)
from babysit.cli.resuming import LATEST, confirmed, latest_own
from babysit.cli.run_folders import open_store, run_folder, runs_folder
from babysit.cli.terminal import progress_bars, say_problem
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from babysit.records.run import Run
    from babysit.store.store import Store


def run(
    data: Data = "",
    /,
    *,
    resume: Annotated[str, Parameter(show_default=False, help="Resume an interrupted run (ID; default: latest).")] = "",
    epochs: Annotated[
        int, Parameter(group=TRAINING, help="Set the maximum number of epochs of the final training.")
    ] = 60,
    data_options: DataOptions = DEFAULT_DATA_OPTIONS,
    rule_options: RuleOptions = DEFAULT_RULE_OPTIONS,
    store: StoreOptions = DEFAULT_STORE_OPTIONS,
    json: Json = False,
) -> int:
    """Run the full workflow: prepare data, check, search hyperparameters, train, and report."""
    settings = settle(rule_options, store=store, threads=data_options.threads)
    if not data and not resume:
        raise UserError("no data given", do="Name a dataset: babysit run digits")
    from babysit.cli.render import show_end, show_report, show_stage

    with progress_bars() as progress, open_store(settings) as run_store:
        with loading(progress):
            set_threads(settings)
            from babysit.pipeline.run_pipeline import Guidance, PipelineSettings, run_pipeline, settings_of
        before = _resumable(run_store, resume) if resume else None
        folder = str(runs_folder(settings).absolute())
        if before is not None:
            again = f"babysit run {{data}} --resume {before.id}{{model}}{run_store.option}"
            known = confirmed(run_store, before, source=data, model=data_options.model, command=again)
            wanted = settings_of(before, source=known.source, model=known.model, folder=folder)
            if known.own and not run_folder(settings, before.id).is_dir():
                say_problem(f"no files of run {before.id} in {folder}: its training is repeated")
        else:
            wanted = PipelineSettings(
                source=data,
                target=data_options.target,
                model=data_options.model,
                seed=data_options.seed,
                skip_invalid=data_options.skip_invalid,
                epochs=epochs,
                folder=folder,
            )
        finished = run_pipeline(
            wanted,
            store=run_store,
            resume=before,
            guidance=Guidance(
                judge=lambda found: judged(found, settings),
                progress=progress,
                on_stage=_silent if json else lambda stage, now: show_stage(stage, now, progress),
            ),
        )
    if json:
        show_report(finished, format="json")
    else:
        show_end(finished, store=run_store.option)
    return exit_code(finished, settings, exit_zero=rule_options.exit_zero)


def _resumable(store: Store, wanted: str) -> Run:
    """Load the run with this ID, or the latest unfinished run of this user."""
    if wanted != LATEST:
        return store.load(wanted)
    return latest_own(store, kind="pipeline", states=("interrupted", "crashed"))


def _silent(stage: str, run: Run) -> None:
    """Print nothing for a stage: only JSON is requested."""
