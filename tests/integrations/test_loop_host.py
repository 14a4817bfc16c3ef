"""`babysit.watch`: what a user's own loop, function or notebook gets."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import babysit
from babysit.records.errors import ProblemFound, UserError
from babysit.records.finding import Finding
from babysit.records.run import Status
from babysit.store.store import Store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BABYSIT_STORE", raising=False)
    return tmp_path


def training(
    *, steps: int = 40, softmax_twice: bool = False
) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], None]]:
    torch.manual_seed(0)
    x = torch.randn(512, 8)
    y = (x @ torch.randn(8, 3)).argmax(1)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def train() -> None:
        for step in range(steps):
            part = slice(step % 16 * 32, step % 16 * 32 + 32)
            optimizer.zero_grad()
            output = model(x[part])
            F.cross_entropy(output.softmax(1) if softmax_twice else output, y[part]).backward()
            optimizer.step()

    return model, optimizer, train


def test_a_watched_block_is_saved_and_summed_up_in_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer, train = training()
    with babysit.watch(model, optimizer, name="mine", config={"lr": 1e-2}, tags=["first"]) as w:
        train()
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("babysit: ")
    assert second == f"Saved run {w.run.id}. Full report: babysit report {w.run.id}"
    with Store() as store:
        (line,) = store.list()
        assert (line.id, line.name, line.tags, line.steps) == (w.run.id, "mine", ("first",), 40)
        kept = store.load(line.id)
    assert kept.config == {"lr": 1e-2}
    assert kept.verdict == w.verdict
    assert kept.status is Status.FINISHED


def test_nothing_is_saved_or_printed_when_so_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer, train = training()
    with babysit.watch(model, optimizer, store=False, quiet=True):
        train()
    assert list(folder.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_a_store_is_a_folder_or_an_open_one_that_stays_open(folder: Path) -> None:
    model, optimizer, train = training()
    with babysit.watch(model, optimizer, store=str(folder / "there"), quiet=True):
        train()
    with Store(str(folder / "there")) as store:
        with babysit.watch(model, optimizer, store=store, quiet=True):
            train()
        assert len(store.list()) == 2


def test_a_store_that_cannot_be_opened_costs_the_saving_and_not_the_training(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "file").write_text("no store")
    model, optimizer, train = training()
    with babysit.watch(model, optimizer, store=str(folder / "file" / "inside"), quiet=True) as w:
        train()
    assert w.steps == 40
    assert "the run is not saved" in caplog.text
    assert "was not saved" in w.summary()


def test_a_decorated_function_is_watched_at_each_call() -> None:
    _, _, train = training()

    @babysit.watch
    def bare() -> str:
        train()
        return "done"

    assert bare() == "done"
    named = babysit.watch(name="twice", quiet=True)(bare.__wrapped__)  # type: ignore[attr-defined]
    named()
    with Store() as store:
        assert [line.name for line in store.list()] == ["twice", ""]


def test_start_and_stop_do_what_the_block_does() -> None:
    model, optimizer, train = training()
    w = babysit.watch(model, optimizer, quiet=True).start()
    train()
    assert w.run.status is Status.RUNNING
    run = w.stop()
    assert run is w.run is w.stop()
    assert (run.status, w.steps) == (Status.FINISHED, 40)


def test_metrics_are_logged_under_any_usual_name() -> None:
    model, optimizer, train = training()
    with babysit.watch(model, optimizer, store=False, quiet=True) as w:
        train()
        w.log("val/loss", 0.5)
        w.log({"eval_accuracy": 0.8, "top_5": 0.9})
        w.log(val_f1=0.7)
        w.log("bad", "text")  # type: ignore[arg-type]
    curves = w.run.curves
    assert {"val/loss", "val/accuracy", "val/f1", "top_5"} <= set(curves.series)
    assert any("log" in finding.message for finding in w.findings if finding.code == "T001")


def test_several_models_and_optimizers_are_watched_together() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    first, second = nn.Linear(4, 8), nn.Linear(8, 1)
    one, two = (torch.optim.SGD(model.parameters(), lr=0.1) for model in (first, second))
    aside = nn.Linear(4, 1)
    other = torch.optim.SGD(aside.parameters(), lr=0.1)
    with babysit.watch([first, second], [one, two], store=False, quiet=True) as w:
        for step in range(24):
            part = x[step * 8 : step * 8 + 8]
            for optimizer in (one, two):
                optimizer.zero_grad()
            second(first(part).relu()).square().mean().backward()
            one.step()
            two.step()
            other.zero_grad()
            aside(part).square().mean().backward()
            other.step()
    assert w.steps == 24
    assert w.run.events.counts["other_step"] == 24


def test_a_finding_is_reported_while_the_training_runs() -> None:
    seen: list[Finding] = []
    model, optimizer, train = training(steps=400, softmax_twice=True)
    with babysit.watch(model, optimizer, store=False, quiet=True, on_finding=seen.append) as w:
        while "O201" not in [finding.code for finding in seen] and w.steps < 40_000:
            train()
    assert "O201" in [finding.code for finding in seen]


def test_a_callback_that_raises_does_not_reach_the_training() -> None:
    def fails(finding: Finding) -> None:
        raise ValueError("mine")

    model, optimizer, train = training(steps=400, softmax_twice=True)
    with babysit.watch(model, optimizer, store=False, quiet=True, on_finding=fails) as w:
        while not w.findings and w.steps < 40_000:
            train()
        train()
    assert any("ValueError: mine" in finding.message for finding in w.findings if finding.code == "T001")


def test_a_training_stops_at_a_problem_when_so_asked() -> None:
    model, optimizer, train = training(steps=400, softmax_twice=True)
    w = babysit.watch(model, optimizer, quiet=True, raise_on="ERROR")

    def train_for_long() -> None:
        with w:
            while w.steps < 40_000:
                train()

    with pytest.raises(ProblemFound, match="O201 double-softmax"):
        train_for_long()
    assert w.run.status is Status.INTERRUPTED
    assert w.run.stop_reason == "stopped on request: O201 double-softmax"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "net"}, "needs a torch.nn.Module"),
        ({"optimizer": [1]}, "needs a torch.optim.Optimizer"),
        ({"overhead": 2}, "share of step time"),
        ({"raise_on": "error"}, "raise_on is 'error'"),
        ({"on_finding": 3}, "not callable"),
        ({"store": 3}, "store is a int"),
        ({"config": {"a": [1]}}, "plain values"),
        ({"tags": "one"}, "not texts"),
        ({"name": 3}, "name is a int"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_starts(
    arguments: dict[str, Any], words: str, folder: Path
) -> None:
    with pytest.raises(UserError, match=words):
        babysit.watch(**arguments)
    assert list(folder.iterdir()) == []


def test_a_watch_is_shown_in_one_line_and_in_a_notebook() -> None:
    model, optimizer, train = training()
    w = babysit.watch(model, optimizer, store=False, quiet=True)
    assert repr(w) == f"Watch({w.run.id}: 0 steps, running, inconclusive)"
    with w:
        train()
    assert repr(w).startswith(f"Watch({w.run.id}: 40 steps, finished, ")
    assert w._repr_html_().startswith("<pre>babysit: ")
    assert "<html" in w.report()
    assert w.report("json").startswith("{")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_leaves_the_block_replaces_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    model, optimizer, train = training()
    with babysit.watch(model, optimizer) as w:
        train()
        child = os.fork()
        if child == 0:
            try:
                w.stop()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        train()
    assert capfd.readouterr().err.count("Saved run") == 1
    with Store() as store:
        (line,) = store.list()
        assert (line.status, line.steps) == (Status.FINISHED, 80)


def test_a_closed_standard_error_costs_the_closing_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    model, optimizer, train = training()
    with babysit.watch(model, optimizer, store=False) as w:
        train()
    assert w.run.status is Status.FINISHED


def test_each_training_of_a_block_is_a_run_and_the_first_with_problems_decides(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with babysit.watch(name="two stages", tags=["stages"], config={"lr": 0.01}) as w:
        for softmax_twice in (False, True):
            model, _, train = training(steps=150, softmax_twice=softmax_twice)
            del model
            train()
        assert w.run.name == "two stages, training 2"
    assert w.run.name == "two stages, training 2"
    assert w.findings[0].code == "O201"
    with Store() as store:
        kept = {run.name: (str(run.verdict), run.tags) for run in store.list()}
        assert [store.load(run.id).config for run in store.list()] == [{"lr": 0.01}] * 2
    assert kept["two stages, training 2"] == ("problems", ("stages",))
    assert kept["two stages"] == ("healthy", ("stages",))
    first, saved = capsys.readouterr().err.splitlines()
    assert "This program trained 2 times" in first
    assert w.run.id in saved


def test_trainings_that_are_not_saved_are_not_said_to_be_saved() -> None:
    with babysit.watch(store=False, quiet=True) as w:
        for _ in range(2):
            training(steps=30)[2]()
    assert "This program trained 2 times, each as a run of its own." in w.summary()
    assert "saved as a run" not in w.summary()
