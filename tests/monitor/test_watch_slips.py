"""Slips of a user or of a script that must neither end a training nor tell a wrong story."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import babysit
from babysit.monitor.monitor import Monitor
from babysit.records.errors import UserError

INPUTS = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)


@pytest.mark.parametrize("averaged", ["swa", "by hand"])
def test_averaged_weights_are_no_part_of_the_network(averaged: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    average = torch.optim.swa_utils.AveragedModel(model)
    with Monitor() as watching:
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
    model_summary = watching.run.model_summary
    assert model_summary is not None
    assert [layer.name for layer in model_summary.layers] == ["0", "2"]
    assert model_summary.unoptimized == ()
    assert not watching.run.problems


@pytest.mark.parametrize(("name", "value"), [(None, 1.0), ("a", "much"), ("a", 10**400), ("a", torch.ones(3))])
def test_a_slip_in_logging_ends_no_training_and_is_told(name: object, value: object) -> None:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with Monitor(model, optimizer) as watching:
        watching.log(name, value)  # type: ignore[arg-type]  # that is the point
        F.cross_entropy(model(INPUTS), LABELS).backward()
        optimizer.step()
    assert [finding.code for finding in watching.run.findings if finding.code == "T001"] == ["T001"]
    assert "<html" in babysit.report(watching.run)


def test_a_report_of_something_else_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="a report needs a Run"):
        babysit.report(None)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("script", ["nope.py", ".", "broken.py"])
def test_a_script_that_cannot_start_leaves_no_run_and_no_file(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from babysit.cli.watch import watch

    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("def broken(:")
    with pytest.raises(UserError):
        watch(script, json=tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    assert not (tmp_path / "babysit_runs").exists()


def _classes(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(200, 8, generator=generator)
    return x, (x @ torch.randn(8, 3, generator=generator)).argmax(1)


def _train(network, optimizer, x, y, *, epochs=12, clear=None, each_step=None, after_epoch=None):
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(20):
            (clear or optimizer.zero_grad)()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            if each_step:
                each_step()
            optimizer.step()
        if after_epoch:
            after_epoch()


def test_clipping_in_every_step_hides_no_evaluation():
    torch.manual_seed(0)
    x, y = _classes()
    network = torch.nn.Linear(8, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = torch.nn.CrossEntropyLoss()

    def evaluate():
        with torch.no_grad():
            loss(network(x[150:]), y[150:])

    with Monitor() as looking:
        _train(
            network, optimizer, x[:150], y[:150],
            each_step=lambda: torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0), after_epoch=evaluate,
        )  # fmt: skip
    # The last one has no step after it, and is taken when the watch closes.
    assert len(looking.run.curves.get("val/loss")) == 12


def test_an_accuracy_of_the_training_batch_is_no_validation():
    torch.manual_seed(0)
    x, y = _classes()
    network = torch.nn.Linear(8, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with Monitor() as looking:
        for _ in range(10):
            for rows in torch.randperm(200).split(20):
                optimizer.zero_grad()
                output = network(x[rows])
                torch.nn.functional.cross_entropy(output, y[rows]).backward()
                optimizer.step()
                with torch.no_grad():
                    (output.argmax(1) == y[rows]).float().mean()
    assert len(looking.run.curves.get("val/accuracy")) == 0


def test_gradients_cleared_by_hand_are_not_uncleared():
    torch.manual_seed(0)
    x, y = _classes()
    network = torch.nn.Linear(8, 3)

    def clear():
        for parameter in network.parameters():
            parameter.grad = None

    with Monitor() as looking:
        _train(network, torch.optim.SGD(network.parameters(), lr=0.1), x, y, clear=clear)
    assert "W701" not in {finding.code for finding in looking.run.findings}


def test_two_networks_trained_one_after_the_other_are_both_trained():
    torch.manual_seed(0)
    x, y = _classes()
    with Monitor() as looking:
        for _ in range(2):
            network = torch.nn.Linear(8, 3)
            _train(network, torch.optim.Adam(network.parameters(), lr=0.05), x, y)
            with torch.no_grad():
                network(x)
    assert [finding.code for finding in looking.run.problems] == []


def test_padding_is_no_class():
    torch.manual_seed(0)
    x, y = _classes()
    y = torch.where(torch.arange(200) % 4 == 0, y, -100)
    network = torch.nn.Linear(8, 3)
    with Monitor() as looking:
        _train(network, torch.optim.Adam(network.parameters(), lr=0.05), x, y, epochs=40)
    run = looking.run
    assert [finding.code for finding in run.problems] == []
    assert run.curves.get("train/accuracy").values[-5:].mean() > 0.8


def test_inputs_that_ask_for_gradients_are_no_parameters():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    with Monitor() as looking:
        for _ in range(60):
            t = torch.rand(32, 1).requires_grad_()
            u = network(t)
            slope = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
            loss = ((slope + u) ** 2).mean() + (network(torch.zeros(1, 1)) - 1).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    run = looking.run
    assert {layer.name for layer in run.model_summary.layers} == {"0", "2"}
    assert not [finding.code for finding in run.problems if finding.code in {"D104", "W703"}]


def test_training_on_another_thread_leaves_this_one_as_it_was():
    import threading

    torch.manual_seed(0)
    x, y = _classes()
    network = torch.nn.Linear(8, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with Monitor(network, optimizer):
        thread = threading.Thread(target=_train, args=(network, optimizer, x, y))
        thread.start()
        thread.join()
    assert torch._C._len_torch_function_stack() == 0


NETWORK_INPUTS = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
REFUSED = {
    "counted from 1": (lambda out: F.cross_entropy(out, LABELS + 1), "O205", "start at 1"),
    "marked -1": (lambda out: F.cross_entropy(out, torch.where(LABELS > 0, LABELS, -1)), "O205", "from -1 to 2"),
    "a column": (lambda out: F.cross_entropy(out, LABELS[:, None]), "O205", "shape (32,), and gets shape (32, 1)"),
    "as floats": (lambda out: F.cross_entropy(out, LABELS.float()), "O204", "target.long()"),
    "logits": (lambda out: F.binary_cross_entropy(out, F.one_hot(LABELS, 3).float()), "O201", "expects probabilities"),
    "one by one": (
        lambda out: F.binary_cross_entropy_with_logits(out[:, :1], LABELS.clamp(max=1.0)),
        "O206",
        "(32, 1)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_why_torch_refuses_a_loss_is_said_in_words(name: str) -> None:
    loss, code, words = REFUSED[name]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises((ValueError, RuntimeError, IndexError)) as plain:
        loss(model(NETWORK_INPUTS))
    watching = Monitor(model, optimizer)
    with pytest.raises(plain.type) as watched, watching:
        loss(model(NETWORK_INPUTS)).backward()
    assert str(watched.value) == str(plain.value)
    assert watching.run.root_cause is not None
    assert watching.run.root_cause.code == code
    assert words in watching.run.root_cause.message
