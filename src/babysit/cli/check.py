"""`babysit check`: data profile and pre-training checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, final

import msgspec
from cyclopts import Group, Parameter

from babysit.cli.data_options import DEFAULT_DATA_OPTIONS, Data, DataOptions, loading, prepared
from babysit.cli.options import (
    DEFAULT_RULE_OPTIONS,
    DEFAULT_STORE_OPTIONS,
    Json,
    RuleOptions,
    StoreOptions,
    judged,
    settle,
)
from babysit.cli.render_data import data_box
from babysit.cli.run_folders import open_store
from babysit.cli.terminal import out, progress_bars, say
from babysit.records.errors import UserError
from babysit.records.experiment import Outcome
from babysit.records.finding import Severity
from babysit.records.run import Run, Status
from babysit.records.serialization import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress
    from torch import nn

    from babysit.cli.settings import Settings
    from babysit.data.samples import Samples
    from babysit.experiments.lr_trials import LRTrial
    from babysit.pipeline.prepare import Prepared
    from babysit.records.dataprofile import DataProfile
    from babysit.records.model_summary import ModelSummary

# A failed check means that training cannot work; a warning that it is impaired.
SEVERITY = {Outcome.FAIL: Severity.ERROR, Outcome.WARN: Severity.WARNING}

DATA_ONLY = Group("Data only", sort_key=6)


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Options for describing data without training."""

    data_only: Annotated[
        bool,
        Parameter(group=DATA_ONLY, negative="", show_default=False, help="Describe the data, of any size, and exit."),
    ] = False
    test: Annotated[
        str,
        Parameter(
            group=DATA_ONLY, show_default=False, help="Compare with this test data: distribution and shared rows."
        ),
    ] = ""


DEFAULT_CHECK_OPTIONS: Final = CheckOptions()


def check(
    data: Data,
    /,
    *,
    data_options: DataOptions = DEFAULT_DATA_OPTIONS,
    check_options: CheckOptions = DEFAULT_CHECK_OPTIONS,
    rule_options: RuleOptions = DEFAULT_RULE_OPTIONS,
    store: StoreOptions = DEFAULT_STORE_OPTIONS,
    json: Json = False,
) -> int:
    """Check data and model before training: initial loss, overfitting of a small batch, learning-rate range."""
    settings = settle(rule_options, store=store, threads=data_options.threads)
    if check_options.test and not check_options.data_only:
        raise UserError("--test requires --data-only", do="Add --data-only")
    with progress_bars() as progress, open_store(settings) as run_store:
        if check_options.data_only:
            run = _described(data, data_options, check_options, progress)
        else:
            run = _checked(data, data_options, settings, progress)
        run = judged(run, settings)
        run_store.save(run)
    _show(run, json=json, data_only=check_options.data_only)
    return 0 if rule_options.exit_zero else int(worst(run) <= settings.fail_on.rank)


def _show(run: Run, *, json: bool, data_only: bool) -> None:
    from babysit.cli.render import show_preflight, show_report

    if json and data_only:
        say(to_json({"run": run.id, "data": run.data, "findings": run.findings}))
        return
    if json:
        show_report(run, format="json")
        return
    if run.data is not None:
        out().print(data_box(run.data))
    if not data_only:
        show_preflight(run)
        return
    for finding in run.findings:  # one line each: the verdict of a report is about a training
        say(f"{finding.severity} {finding.code} {finding.name}: {finding.message}")
        say(f"  {finding.recommendation}")
    say(f"Saved run {run.id}.")


def _described(data: str, data_options: DataOptions, check_options: CheckOptions, progress: Progress) -> Run:
    """Create a run that contains the data profile only."""
    with loading(progress):
        from babysit.monitor.monitor import now
        from babysit.pipeline.run_state import begin_run
    source = {"train": data, "test": check_options.test} if check_options.test else data
    found = _profile(source, data_options, progress)
    run = begin_run("check", {"source": data, **data_options.config})
    return msgspec.structs.replace(run, data=found, status=Status.FINISHED, ended=now())


def _profile(source: str | dict[str, str], data_options: DataOptions, progress: Progress) -> DataProfile:
    from babysit.data.open_stream import open_stream
    from babysit.data.streaming_profile import streaming_profile

    stream = open_stream(source, target=data_options.target or None, skip_invalid=data_options.skip_invalid)
    return streaming_profile(stream, progress=progress)


def _checked(data: str, data_options: DataOptions, settings: Settings, progress: Progress) -> Run:
    ready = prepared(data, data_options, settings, progress)
    from babysit.experiments.check import CheckSettings
    from babysit.experiments.check import check as check_all
    from babysit.monitor.monitor import now
    from babysit.pipeline.run_state import begin_run

    run = begin_run("check", {"source": data, **data_options.config})
    own = CheckSettings(seed=data_options.seed, try_lrs=_try_lrs)
    experiments = check_all(ready.model(data_options.seed), ready.splits.train, settings=own, progress=progress)
    run = msgspec.structs.replace(
        run, experiments=experiments, data=ready.profile, model_summary=_model_summary(ready, data_options.seed)
    )
    return msgspec.structs.replace(run, status=Status.FINISHED, ended=now())


def _try_lrs(model: nn.Module, samples: Samples, lrs: Sequence[float], steps: int, seed: int) -> Sequence[LRTrial]:
    """Train with all learning rates at once, as trials of a vectorized search."""
    from babysit.tuning.vectorized.lr_trials import run_lr_trials

    return run_lr_trials(model, samples, lrs=lrs, steps=steps, seed=seed)


def _model_summary(ready: Prepared, seed: int) -> ModelSummary | None:
    """Record layers and objective by watching one step of a copy; many rules require them."""
    import torch

    from babysit.experiments.optimizers import make_optimizer
    from babysit.experiments.replica import device_of, replica
    from babysit.monitor.monitor import Monitor
    from babysit.nn.losses import loss_for

    train = ready.splits.train
    with replica(ready.model(seed), seed=seed) as (model, _):
        optimizer = make_optimizer("adam", model, lr=1e-3)
        x, y = (part[:64].to(device_of(model)) for part in (train.x, train.y))  # the batch size of the experiments
        with Monitor(model, optimizer) as watched:
            torch.autograd.backward(loss_for(train.task)(model(x), y))
            optimizer.step()
        return watched.run.model_summary


def worst(run: Run) -> int:
    """Return the rank of the worst result of checks and rules: 0 for an error, 3 for none."""
    ranks = [SEVERITY[experiment.outcome].rank for experiment in run.experiments if experiment.outcome in SEVERITY]
    return min([*ranks, *(finding.severity.rank for finding in run.findings)], default=3)
