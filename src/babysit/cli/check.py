"""`babysit check`: the experiments before training."""

from __future__ import annotations

import msgspec

from babysit.cli.keeping import open_store
from babysit.cli.material import DEFAULT_MATERIAL, Data, Material, prepared
from babysit.cli.options import DEFAULT_JUDGING, Json, Judging, StoreUrl, judged, settle
from babysit.cli.terminal import progress_bars
from babysit.records.finding import Severity
from babysit.records.probe import Outcome
from babysit.records.run import Run, Status

# An experiment that fails says that training cannot work as things are; a warning that it will be hurt.
SEVERITY = {Outcome.FAIL: Severity.ERROR, Outcome.WARN: Severity.WARNING}


def check(
    data: Data,
    /,
    *,
    material: Material = DEFAULT_MATERIAL,
    judging: Judging = DEFAULT_JUDGING,
    store: StoreUrl = None,
    json: Json = False,
) -> int:
    """Check data and model before training: initial loss, twenty samples by heart, range of useful rates."""
    settings = settle(judging, store=store, threads=material.threads)
    with progress_bars() as progress, open_store(settings) as kept:
        ready = prepared(data, material, settings, progress)
        from babysit.probes.check import CheckSettings
        from babysit.probes.check import check as check_all
        from babysit.routine.journal import begin_run, now

        run = begin_run("check", {"source": data, **material.told})
        own = CheckSettings(seed=material.seed)
        probes = check_all(ready.model(material.seed), ready.splits.train, settings=own, progress=progress)
        run = msgspec.structs.replace(run, probes=probes, data=ready.profile, status=Status.FINISHED, ended=now())
        run = judged(run, settings)
        kept.save(run)
    from babysit.cli.boxes import show_preflight, show_report

    if json:
        show_report(run, format="json")
    else:
        show_preflight(run)
    return 0 if judging.exit_zero else int(worst(run) <= settings.fail_on.rank)


def worst(run: Run) -> int:
    """The rank of the worst that experiments and rules say: 0 for an error, 3 for nothing at all."""
    said = [SEVERITY[probe.outcome].rank for probe in run.probes if probe.outcome in SEVERITY]
    return min([*said, *(finding.severity.rank for finding in run.findings)], default=3)
