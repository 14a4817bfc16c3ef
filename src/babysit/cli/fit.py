"""`babysit fit`: one training under watch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Final, final

from cyclopts import Parameter

from babysit.cli.data_options import DEFAULT_MATERIAL, TRAINING, Data, DataOptions, prepared
from babysit.cli.options import (
    DEFAULT_JUDGING,
    DEFAULT_KEEPING,
    Json,
    RuleOptions,
    StoreOptions,
    exit_code,
    judged,
    settle,
)
from babysit.cli.run_folders import open_store, run_folder
from babysit.cli.terminal import progress_bars


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How one training goes."""

    lr: Annotated[float, Parameter(group=TRAINING, help="Learning rate.")] = 1e-3
    weight_decay: Annotated[float, Parameter(group=TRAINING, help="Strength of the penalty on weights.")] = 0.0
    optimizer: Annotated[str, Parameter(group=TRAINING, help="By its name in torch.optim.")] = "adam"
    batch_size: Annotated[int, Parameter(group=TRAINING, help="Samples of one step.")] = 64
    epochs: Annotated[int, Parameter(group=TRAINING, help="At most.")] = 50


DEFAULT_RECIPE: Final = FitOptions()


def fit(
    data: Data,
    /,
    *,
    hyperparameters: FitOptions = DEFAULT_RECIPE,
    material: DataOptions = DEFAULT_MATERIAL,
    judging: RuleOptions = DEFAULT_JUDGING,
    store: StoreOptions = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Train under watch with early stopping, test, and say what was found."""
    settings = settle(judging, store=store, threads=material.threads)
    with progress_bars() as progress, open_store(settings) as kept:
        ready = prepared(data, material, settings, progress)
        from babysit.pipeline.finalize import finalize, make_folder
        from babysit.pipeline.run_state import RunState, begin_run
        from babysit.pipeline.train import fit_settings, train

        run = begin_run("fit", {"source": data, **material.told, **asdict(hyperparameters)})
        fit_settings(run, folder=None)  # values that cannot work are told before anything is kept
        folder = make_folder(run_folder(settings, run.id))
        with RunState(run, kept, stages=("prepared", "trained", "concluded")) as state:
            state.finish("prepared", data=ready.profile)
            train(state, ready, folder=folder, progress=progress)
            finished = finalize(state, folder=folder, judge=lambda found: judged(found, settings))
    from babysit.cli.render import show_end, show_report

    if json:
        show_report(finished, format="json")
    else:
        show_end(finished, store=kept.option)
    return exit_code(finished, settings, exit_zero=judging.exit_zero)
