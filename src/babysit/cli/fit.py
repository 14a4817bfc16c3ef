"""`babysit fit`: one training with monitoring."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Final, final

from cyclopts import Parameter

from babysit.cli.data_options import DEFAULT_DATA_OPTIONS, TRAINING, Data, DataOptions, prepared
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
from babysit.cli.run_folders import open_store, run_folder
from babysit.cli.terminal import progress_bars


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Hyperparameters of one training."""

    lr: Annotated[float, Parameter(group=TRAINING, help="Set the learning rate.")] = 1e-3
    weight_decay: Annotated[float, Parameter(group=TRAINING, help="Set the weight decay.")] = 0.0
    optimizer: Annotated[str, Parameter(group=TRAINING, help="Select the optimizer by its name in torch.optim.")] = (
        "adam"
    )
    batch_size: Annotated[int, Parameter(group=TRAINING, help="Set the number of samples per step.")] = 64
    epochs: Annotated[int, Parameter(group=TRAINING, help="Set the maximum number of epochs.")] = 50


DEFAULT_FIT_OPTIONS: Final = FitOptions()


def fit(
    data: Data,
    /,
    *,
    hyperparameters: FitOptions = DEFAULT_FIT_OPTIONS,
    data_options: DataOptions = DEFAULT_DATA_OPTIONS,
    rule_options: RuleOptions = DEFAULT_RULE_OPTIONS,
    store: StoreOptions = DEFAULT_STORE_OPTIONS,
    json: Json = False,
) -> int:
    """Train one model with monitoring and early stopping, test it, and report the findings."""
    settings = settle(rule_options, store=store, threads=data_options.threads)
    with progress_bars() as progress, open_store(settings) as run_store:
        ready = prepared(data, data_options, settings, progress)
        from babysit.pipeline.finalize import finalize, make_folder
        from babysit.pipeline.run_state import RunState, begin_run
        from babysit.pipeline.train import fit_settings, train

        run = begin_run("fit", {"source": data, **data_options.config, **asdict(hyperparameters)})
        fit_settings(run, folder=None)  # reject invalid values before anything is saved
        folder = make_folder(run_folder(settings, run.id))
        with RunState(run, run_store, stages=("prepared", "trained", "concluded")) as state:
            state.finish("prepared", data=ready.profile)
            train(state, ready, folder=folder, progress=progress)
            finished = finalize(state, folder=folder, judge=lambda trained: judged(trained, settings))
    from babysit.cli.render import show_end, show_report

    if json:
        show_report(finished, format="json")
    else:
        show_end(finished, store=run_store.option)
    return exit_code(finished, settings, exit_zero=rule_options.exit_zero)
