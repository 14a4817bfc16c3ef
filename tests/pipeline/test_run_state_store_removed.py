"""The folder of the store is removed while a run is recorded: what was computed is still judged, shown and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from babysit.pipeline.finalize import finalize
from babysit.pipeline.run_state import RunState, begin_run
from babysit.records.curves import TRAIN_LOSS
from babysit.records.run import Status
from babysit.store.store import Store
from babysit.testing.synthetic_runs import diverging_run


@pytest.mark.parametrize("emptied", [False, True])
def test_a_run_whose_store_was_removed_is_judged_and_kept_in_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, emptied: bool
) -> None:
    place, files = tmp_path / "runs", tmp_path / "files"
    files.mkdir()
    trained = msgspec.structs.replace(diverging_run(), findings=())
    with Store(str(place)) as store:
        run = begin_run("fit", {"source": "digits"})
        with RunState(run, store, stages=("prepared", "trained", "concluded")) as state:
            state.finish("prepared")
            state.writer.append(curves=trained.curves, layer_metrics=trained.layer_metrics)
            assert state.writer.flush()
            shutil.rmtree(place)
            if emptied:  # a program that looked for it meanwhile left an empty file
                place.mkdir()
                (place / "babysit.sqlite").touch()
            state.merge(trained)
            finished = finalize(state, folder=files)
    assert f"the store lost what it had of run {run.id}" in caplog.text
    assert finished.status is Status.FINISHED
    assert finished.findings
    assert (files / "report.html").is_file()
    with Store(str(place)) as store:
        kept = store.load(run.id)
    assert kept.status is Status.FINISHED
    assert [finding.code for finding in kept.findings] == [finding.code for finding in finished.findings]
    steps = trained.curves.get(TRAIN_LOSS).steps
    assert np.array_equal(kept.curves.get(TRAIN_LOSS).steps, steps)
