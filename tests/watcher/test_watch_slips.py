"""Slips of a user or of a script that must neither end a training nor tell a wrong story."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import babysit
from babysit.records.problem import UserError

INPUTS = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)


@pytest.mark.parametrize("averaged", ["swa", "by hand"])
def test_averaged_weights_are_no_part_of_the_network(averaged: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    average = torch.optim.swa_utils.AveragedModel(model)
    with babysit.watch() as watching:
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
            if averaged == "swa":
                average.update_parameters(model)
            else:
                with torch.no_grad():
                    for mean, now in zip(average.module.parameters(), model.parameters(), strict=True):
                        mean.lerp_(now, 0.1)
    anatomy = watching.run.anatomy
    assert anatomy is not None
    assert [layer.name for layer in anatomy.layers] == ["0", "2"]
    assert anatomy.unoptimized == ()
    assert not watching.run.alarms


@pytest.mark.parametrize(("name", "value"), [(None, 1.0), ("a", "much"), ("a", 10**400), ("a", torch.ones(3))])
def test_a_slip_in_logging_ends_no_training_and_is_told(name: object, value: object) -> None:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with babysit.watch(model, optimizer) as watching:
        watching.log(name, value)  # type: ignore[arg-type]  # that is the point
        F.cross_entropy(model(INPUTS), LABELS).backward()
        optimizer.step()
    assert [finding.code for finding in watching.run.findings if finding.code == "T001"] == ["T001"]
    assert "<html" in babysit.report(watching.run)


def test_a_report_of_something_else_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="made of a run"):
        babysit.report(None)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("script", ["nope.py", ".", "broken.py"])
def test_a_script_that_cannot_start_leaves_no_run_and_no_file(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from babysit.cli.watch import watch

    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("def broken(:")
    with pytest.raises(UserError):
        watch(Path(script), json=tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    assert not (tmp_path / "babysit_runs").exists()
