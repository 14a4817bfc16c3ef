"""Sending a run to trackers, read back through the trackers' own readers."""

import importlib
import math
import time

import numpy as np
import pytest

from babysit.analysis.verdict import concluded
from babysit.integrations.trackers.scalars import findings_text, rows, scalars
from babysit.integrations.trackers.tensorboard import write_tensorboard
from babysit.integrations.trackers.wandb import send_wandb
from babysit.records.curves import Curves, Series
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Severity
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run, Status


@pytest.fixture
def run():
    steps = np.array([0, 1, 2])
    ratios = np.array([[1e-3, 4e-3, 2e-3], [np.nan, 5e-3, np.nan], [np.nan, np.nan, np.nan]], dtype="float32")
    cause = Finding(
        code="U601", name="lr-too-high", severity=Severity.ERROR, rank=1, message="It grew.", recommendation="Less."
    )
    symptom = Finding(code="F909", name="loss-stuck", severity=Severity.WARNING, rank=2, explained_by="U601")
    known = Run(
        id="20250101-000000-brave",
        name="../../outside",
        status=Status.FINISHED,
        config={"lr": 0.1, "optimizer": "adam"},
        curves=Curves(series={"train/loss": Series(steps, np.array([2.3, 1.5, np.nan]))}),
        layer_metrics=LayerMetrics(layers=("a", "b", "c"), steps=steps, values={"update_ratio": ratios}),
        findings=(cause, symptom),
        result={"test/accuracy": 0.97},
    )
    return concluded(known)


def test_vital_signs_are_summarized_over_the_layers_that_were_measured(run):
    found = {(name, step): value for name, step, value in scalars(run)}
    assert found["layer metrics/update_ratio/median", 0] == pytest.approx(2e-3)
    assert found["layer metrics/update_ratio/lowest", 0] == pytest.approx(1e-3)
    assert found["layer metrics/update_ratio/highest", 1] == pytest.approx(5e-3)
    assert ("layer metrics/update_ratio/median", 2) not in found


def test_rows_hold_each_step_once_in_rising_order(run):
    assert [step for step, _ in rows(run)] == [0, 1, 2]
    assert rows(run)[1][1]["train/loss"] == 1.5
    assert math.isnan(rows(run)[2][1]["train/loss"])


def test_the_text_says_which_finding_explains_which(run):
    text = findings_text(run)
    assert text.startswith("**PROBLEMS**: Problem found: learning rate too high (U601)")
    assert text.index("U601") < text.index("F909 loss-stuck** (explained by U601)")


def test_tensorboard_reads_back_what_was_written(run, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = write_tensorboard(run, tmp_path)
    assert folder.parent == tmp_path  # a hostile run name cannot lead out of the folder
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == [0, 1, 2]
    assert [event.value for event in losses][:2] == pytest.approx([2.3, 1.5])
    assert math.isnan(losses[2].value)
    assert events.Scalars("layer metrics/update_ratio/highest")[1].value == pytest.approx(5e-3)
    assert events.Scalars("result/test/accuracy")[0].value == pytest.approx(0.97)
    assert b"U601 lr-too-high" in events.Tensors("findings/text_summary")[0].tensor_proto.string_val[0]


def test_a_tensorboard_folder_that_cannot_be_written_is_a_user_error(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_tensorboard(run, tmp_path / "file")


def test_without_wandb_the_message_says_how_to_get_it(run, monkeypatch):
    real = importlib.import_module

    def absent(name, package=None):
        if name == "wandb":
            raise ModuleNotFoundError("No module named 'wandb'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UserError, match=r"pip install 'babysit\[wandb\]'"):
        send_wandb(run)


@pytest.mark.slow
def test_wandb_takes_the_run_offline(run, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    send_wandb(run, mode="offline")
    files = list(tmp_path.rglob("*.wandb"))
    assert len(files) == 1
    deadline = time.monotonic() + 60  # its own process writes the file, and may still be at it on a busy machine
    while b"train/loss" not in files[0].read_bytes() and time.monotonic() < deadline:
        time.sleep(0.2)
    content = files[0].read_bytes()
    assert b"train/loss" in content
    assert b"U601 lr-too-high" in content
