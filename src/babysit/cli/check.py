"""`babysit check`: what the data are, and the experiments before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, final

import msgspec
from cyclopts import Group, Parameter

from babysit.cli.data_options import DEFAULT_MATERIAL, Data, DataOptions, loading, prepared
from babysit.cli.options import DEFAULT_JUDGING, DEFAULT_KEEPING, Json, RuleOptions, StoreOptions, judged, settle
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

# An experiment that fails says that training cannot work as things are; a warning that it will be hurt.
SEVERITY = {Outcome.FAIL: Severity.ERROR, Outcome.WARN: Severity.WARNING}

LOOKING = Group("Data alone", sort_key=6)


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """How data are described without training anything."""

    data_only: Annotated[
        bool,
        Parameter(group=LOOKING, negative="", show_default=False, help="Describe the data, of any size, and stop."),
    ] = False
    test: Annotated[
        str,
        Parameter(group=LOOKING, show_default=False, help="The data to test with: are they alike, do they share rows?"),
    ] = ""


DEFAULT_LOOKING: Final = CheckOptions()


def check(
    data: Data,
    /,
    *,
    material: DataOptions = DEFAULT_MATERIAL,
    looking: CheckOptions = DEFAULT_LOOKING,
    judging: RuleOptions = DEFAULT_JUDGING,
    store: StoreOptions = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Check data and model before training: initial loss, twenty samples by heart, range of useful learning rates."""
    settings = settle(judging, store=store, threads=material.threads)
    if looking.test and not looking.data_only:
        raise UserError("--test is for data alone", do="Give --data-only as well")
    with progress_bars() as progress, open_store(settings) as kept:
        if looking.data_only:
            run = _described(data, material, looking, progress)
        else:
            run = _experimented(data, material, settings, progress)
        run = judged(run, settings)
        kept.save(run)
    _show(run, json=json, data_only=looking.data_only)
    return 0 if judging.exit_zero else int(worst(run) <= settings.fail_on.rank)


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
    for finding in run.findings:  # a line each: a report's verdict would be about a training
        say(f"{finding.severity} {finding.code} {finding.name}: {finding.message}")
        say(f"  {finding.recommendation}")
    say(f"Kept as run {run.id}.")


def _described(data: str, material: DataOptions, looking: CheckOptions, progress: Progress) -> Run:
    """A run that knows the data and nothing else."""
    with loading(progress):
        from babysit.pipeline.run_state import begin_run, now
    source = {"train": data, "test": looking.test} if looking.test else data
    found = _surveyed(source, material, progress)
    run = begin_run("check", {"source": data, **material.told})
    return msgspec.structs.replace(run, data=found, status=Status.FINISHED, ended=now())


def _surveyed(source: str | dict[str, str], material: DataOptions, progress: Progress) -> DataProfile:
    from babysit.data.open_stream import open_stream
    from babysit.data.streaming_profile import streaming_profile

    stream = open_stream(source, target=material.target or None, skip_invalid=material.skip_invalid)
    return streaming_profile(stream, progress=progress)


def _experimented(data: str, material: DataOptions, settings: Settings, progress: Progress) -> Run:
    ready = prepared(data, material, settings, progress)
    from babysit.experiments.check import CheckSettings
    from babysit.experiments.check import check as check_all
    from babysit.pipeline.run_state import begin_run, now

    run = begin_run("check", {"source": data, **material.told})
    own = CheckSettings(seed=material.seed, try_lrs=_try_lrs)
    experiments = check_all(ready.model(material.seed), ready.splits.train, settings=own, progress=progress)
    run = msgspec.structs.replace(
        run, experiments=experiments, data=ready.profile, model_summary=_model_summary(ready, material.seed)
    )
    return msgspec.structs.replace(run, status=Status.FINISHED, ended=now())


def _try_lrs(model: nn.Module, samples: Samples, lrs: Sequence[float], steps: int, seed: int) -> Sequence[LRTrial]:
    """Every learning rate as one member of the search's population, which advances them together."""
    from babysit.tuning.vectorized.lr_trials import run_lr_trials

    return run_lr_trials(model, samples, lrs=lrs, steps=steps, seed=seed)


def _model_summary(ready: Prepared, seed: int) -> ModelSummary | None:
    """Layers and objective as one watched step of a copy shows them: many rules need them to say anything."""
    import torch

    from babysit.experiments.optimizers import make_optimizer
    from babysit.experiments.replica import device_of, replica
    from babysit.monitor.watch import watch
    from babysit.nn.losses import loss_for

    train = ready.splits.train
    with replica(ready.model(seed), seed=seed) as (model, _):
        optimizer = make_optimizer("adam", model, lr=1e-3)
        x, y = (part[:64].to(device_of(model)) for part in (train.x, train.y))  # as many as the experiments take
        with watch(model, optimizer) as seen:
            torch.autograd.backward(loss_for(train.task)(model(x), y))
            optimizer.step()
        return seen.run.model_summary


def worst(run: Run) -> int:
    """The rank of the worst that experiments and rules say: 0 for an error, 3 for nothing at all."""
    said = [SEVERITY[experiment.outcome].rank for experiment in run.experiments if experiment.outcome in SEVERITY]
    return min([*said, *(finding.severity.rank for finding in run.findings)], default=3)
