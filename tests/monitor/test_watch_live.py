"""Findings while training goes on."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor.monitor import Monitor
from babysit.monitor.online_judge import OnlineJudge
from babysit.records.finding import Finding, Severity
from babysit.records.verdict import Verdict


def test_a_contradiction_is_told_in_the_first_steps_and_stands_in_the_end() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(64, 6)
    labels = inputs[:, :3].argmax(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    early: tuple[Finding, ...] = ()
    with Monitor(model, optimizer) as watching:
        for step in range(200):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            if step >= 20 and not early:
                time.sleep(0.05)
                early = watching.findings
    assert [finding.code for finding in early] == ["O201"]
    assert watching.findings[0].code == "O201"
    opened = watching.run.events.of("finding_opened")
    assert opened[0].detail == "O201 double-softmax"
    assert opened[0].step <= 25


class Kept:
    """A sink that keeps all it is given."""

    def __init__(self) -> None:
        self.curves: list[object] = []
        self.parts: dict[str, object] = {}

    def append(self, *, curves: object = None, layer_metrics: object = None) -> None:
        self.curves.append(curves)

    def update(self, **parts: object) -> None:
        self.parts.update(parts)


def test_what_is_found_meanwhile_is_written_meanwhile() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(64, 6)
    labels = inputs[:, :3].argmax(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    kept, deadline = Kept(), time.monotonic() + 120
    with Monitor(model, optimizer, writer=kept):
        while "findings" not in kept.parts and time.monotonic() < deadline:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        assert set(kept.parts) == {"model_summary", "overhead", "findings", "verdict", "missing", "learning"}
        assert kept.parts["verdict"] is Verdict.PROBLEMS
        assert [finding.code for finding in kept.parts["findings"]] == ["O201"]  # type: ignore[attr-defined]
        assert kept.parts["model_summary"].parameters == 83  # type: ignore[attr-defined]


def test_a_training_of_slow_steps_is_written_every_two_seconds() -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    kept = Kept()
    with Monitor(model, optimizer, writer=kept) as watching:
        watching._loop._schedule.should_sample = lambda step: False  # type: ignore[method-assign]
        watching._loop._outlet._last_flush -= 10  # as if the last writing lay ten seconds back
        for _ in range(3):
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
        assert kept.curves


def test_a_healthy_training_opens_nothing() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(64, 6)
    labels = inputs[:, :3].argmax(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with Monitor(model, optimizer) as watching:
        for _ in range(200):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    assert not watching.run.events.of("finding_opened")


def test_a_warning_needs_two_looks_and_is_withdrawn_when_the_evidence_turns() -> None:
    told: list[tuple[int, str, str]] = []
    looks: list[int] = []
    live = OnlineJudge(0.01, lambda step, kind, detail: told.append((step, kind, detail)), lambda: looks.append(1))
    warning = Finding(code="U601", name="lr-too-high", severity=Severity.WARNING, rank=1)
    error = Finding(code="O201", name="double-softmax", severity=Severity.ERROR, rank=2)
    live._compare((warning,), 20)
    assert live.findings == ()
    live._compare((warning, error), 40)
    assert [finding.code for finding in live.findings] == ["U601", "O201"]
    live._compare((error,), 60)
    assert [finding.code for finding in live.findings] == ["O201"]
    assert told == [
        (40, "finding_opened", "U601 lr-too-high"),
        (40, "finding_opened", "O201 double-softmax"),
        (60, "finding_resolved", "U601 lr-too-high"),
    ]
    assert len(looks) == 2  # and then the steps are looked at closely
