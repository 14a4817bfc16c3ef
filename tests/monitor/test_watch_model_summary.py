"""What one step says of any program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.model_summary import Objective, TargetKind, Task
from babysit.records.run import Run
from babysit.reporting.verdict import verdict

LABELS = torch.tensor([0, 1, 2, 1, 0, 2, 2, 1])
HOT = torch.eye(3)[LABELS]
FLAGS = (LABELS > 0).float().unsqueeze(1)
INPUTS = torch.linspace(-1, 1, 32).view(8, 4)


def run_of(model: nn.Module, loss: Callable[[Tensor], Tensor], *, steps: int = 3, inputs: Tensor = INPUTS) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with Monitor(model, optimizer) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model(inputs)).backward()
            optimizer.step()
    return watching.run


def objective_of(outputs: int, loss: Callable[[Tensor], Tensor]) -> Objective:
    model_summary = run_of(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, outputs)), loss).model_summary
    assert model_summary is not None
    return model_summary.objectives[0]


@pytest.mark.parametrize(
    ("outputs", "loss", "name", "output_ops", "task"),
    [
        (3, lambda out: F.cross_entropy(out, LABELS), "cross_entropy", [], Task.CLASSES),
        (3, lambda out: F.cross_entropy(out.softmax(1), LABELS), "cross_entropy", ["softmax"], Task.CLASSES),
        (3, lambda out: F.cross_entropy(out, HOT), "cross_entropy", [], Task.CLASSES),
        (3, lambda out: nn.NLLLoss()(nn.LogSoftmax(1)(out), LABELS), "nll_loss", ["log_softmax"], Task.CLASSES),
        (3, lambda out: F.mse_loss(out.sigmoid(), HOT), "mse_loss", ["sigmoid"], Task.CLASSES),
        (1, lambda out: nn.BCELoss()(torch.sigmoid(out), FLAGS), "binary_cross_entropy", ["sigmoid"], Task.BINARY),
        (1, lambda out: ((out - INPUTS[:, :1]) ** 2).mean(), "mse_loss", [], Task.REGRESSION),
        (1, lambda out: (INPUTS[:, :1] - out).abs().sum(), "l1_loss", [], Task.REGRESSION),
        (3, lambda out: -out.log_softmax(1)[range(8), LABELS].mean(), "nll_loss", ["log_softmax"], Task.CLASSES),
        (3, lambda out: -(HOT * out.softmax(1).log()).sum(1).mean(), "nll_loss", ["softmax", "log"], Task.CLASSES),
    ],
)
def test_the_objective_is_read_from_one_step(
    outputs: int, loss: Callable[[Tensor], Tensor], name: str, output_ops: list[str], task: Task
) -> None:
    objective = objective_of(outputs, loss)
    assert objective.loss == name
    assert [operation.name for operation in objective.output_ops] == output_ops
    assert objective.task == task
    assert objective.sign == 1.0
    assert objective.outputs == outputs


def test_a_loss_turned_around_has_a_negative_sign() -> None:
    assert objective_of(3, lambda out: -F.cross_entropy(out, LABELS)).sign == -1.0


@pytest.mark.parametrize(
    ("turn", "sign"),
    [
        (lambda error, rest: -error, -1.0),
        (lambda error, rest: -1 * error, -1.0),
        (lambda error, rest: 1 - error, -1.0),
        (lambda error, rest: rest - error, -1.0),
        (lambda error, rest: (-error).neg(), 1.0),
        (lambda error, rest: error - 0.01 * -rest, 1.0),
        (lambda error, rest: -rest + 0.5 * error - 0.1 * (-rest), 1.0),
    ],
)
def test_the_sign_of_a_loss_is_followed_through_sums_and_differences(
    turn: Callable[[Tensor, Tensor], Tensor], sign: float
) -> None:
    objective = objective_of(3, lambda out: turn(F.cross_entropy(out, LABELS), out.pow(2).mean()))
    assert (objective.loss, objective.sign) == ("cross_entropy", sign)


def test_a_stretched_target_is_a_broadcast() -> None:
    with pytest.warns(UserWarning, match="broadcast"):
        objective = objective_of(1, lambda out: F.mse_loss(out, INPUTS[:, 0]))
    assert objective.broadcast
    assert not objective_of(1, lambda out: F.mse_loss(out, INPUTS[:, :1])).broadcast


def test_the_axis_of_a_softmax_is_known() -> None:
    output_ops = objective_of(3, lambda out: F.cross_entropy(out.softmax(0), LABELS)).output_ops
    assert (output_ops[0].dim, output_ops[0].size) == (0, 8)


def test_a_target_that_is_the_input_is_a_reconstruction() -> None:
    assert objective_of(4, lambda out: F.mse_loss(out, INPUTS)).task == Task.RECONSTRUCTION


def test_targets_are_summarized() -> None:
    objective = objective_of(3, lambda out: F.cross_entropy(out, LABELS))
    assert objective.target_kind == TargetKind.INDICES
    assert objective.class_counts == (6, 9, 9)  # three steps of the same batch
    assert objective_of(3, lambda out: F.mse_loss(out, HOT)).target_kind == TargetKind.ONE_HOT


def test_layers_come_in_the_order_they_run_with_what_follows_them() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(6, 3)  # registered first, runs last
            self.first = nn.Linear(4, 5)
            self.norm = nn.BatchNorm1d(5)
            self.middle = nn.Linear(5, 6)

        def forward(self, values: Tensor) -> Tensor:
            hidden = F.relu(self.norm(self.first(values)), inplace=True)
            return self.last(torch.tanh(self.middle(hidden)))

    model_summary = run_of(Functional(), lambda out: F.cross_entropy(out, LABELS)).model_summary
    assert model_summary is not None
    assert [(layer.name, layer.activation, layer.norm) for layer in model_summary.layers] == [
        ("first", "", False),
        ("norm", "relu", True),
        ("middle", "tanh", False),
        ("last", "", False),
    ]
    assert [layer.source for layer in model_summary.layers] == ["", "first", "norm", "middle"]
    assert [layer.fan_in for layer in model_summary.layers] == [4, 0, 5, 6]
    assert model_summary.layers[-1].is_output
    assert model_summary.batch_size == 8


def test_tensors_without_any_module_are_layers_too() -> None:
    weight, bias = torch.randn(4, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([weight, bias], lr=0.1)
    with Monitor() as watching:
        for _ in range(4):
            optimizer.zero_grad()
            F.cross_entropy(INPUTS @ weight + bias, LABELS).backward()
            optimizer.step()
    model_summary = watching.run.model_summary
    assert model_summary is not None
    assert [(layer.kind, layer.weight_shape, layer.fan_in) for layer in model_summary.layers] == [("matmul", (4, 3), 4)]
    assert model_summary.layers[0].has_bias


def test_weights_changed_by_hand_are_counted_by_backward() -> None:
    weight = torch.zeros(4, 3, requires_grad=True)
    with Monitor() as watching:
        for _ in range(6):
            F.cross_entropy(INPUTS @ weight, LABELS).backward()
            with torch.no_grad():
                weight -= 0.5 * weight.grad
                weight.grad = None
    losses = watching.run.curves.get("train/loss").values
    assert len(losses) == 5  # the sixth step has no end that anybody could see
    assert losses[0] == pytest.approx(np.log(3), rel=1e-6)
    assert losses[-1] < losses[0]


def test_parameters_outside_every_optimizer_and_never_reached_are_named() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.forgotten, self.idle = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(2, 2)

        def forward(self, values: Tensor) -> Tensor:
            return self.used(values) + self.forgotten(values)

    model = Two()
    optimizer = torch.optim.SGD([*model.used.parameters(), *model.idle.parameters()], lr=0.1)
    with Monitor(model, optimizer) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()
    model_summary = watching.run.model_summary
    assert model_summary is not None
    assert model_summary.unoptimized == ("forgotten.weight", "forgotten.bias")
    assert model_summary.unreached == ("idle.weight", "idle.bias")


def test_two_optimizers_that_take_turns_give_two_curves() -> None:
    torch.manual_seed(0)
    maker, judge = nn.Linear(2, 2), nn.Linear(2, 1)
    first, second = torch.optim.Adam(judge.parameters(), lr=0.01), torch.optim.Adam(maker.parameters(), lr=0.01)
    ones, zeros = torch.ones(8, 1), torch.zeros(8, 1)
    with Monitor() as watching:
        for _ in range(30):
            fake = maker(torch.randn(8, 2))
            first.zero_grad()
            (
                F.binary_cross_entropy_with_logits(judge(torch.randn(8, 2)), ones)
                + F.binary_cross_entropy_with_logits(judge(fake.detach()), zeros)
            ).backward()
            first.step()
            second.zero_grad()
            F.binary_cross_entropy_with_logits(judge(fake), ones).backward()
            second.step()
    run = watching.run
    assert list(run.curves.get("train/loss").steps) == list(run.curves.get("train/loss/1").steps) == list(range(30))
    assert run.model_summary is not None
    assert [facts.steps for facts in run.model_summary.optimizers] == [30, 30]
    assert run.model_summary.unoptimized == ()


def test_gradient_accumulation_counts_optimizer_steps() -> None:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    with Monitor(model, optimizer) as watching:
        for step in range(12):
            loss = F.cross_entropy(model(INPUTS), LABELS)
            loss.backward()
            losses.append(loss.item())
            if step % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
    run = watching.run
    assert run.events.counts["backward"] == 12
    assert run.events.steps == 3
    np.testing.assert_allclose(run.curves.get("train/loss").values, np.mean(np.reshape(losses, (3, 4)), axis=1))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("divide", [lambda loss: loss / 4, lambda loss: loss * 0.25, lambda loss: loss.div(4.0)])
def test_losses_divided_by_hand_are_recorded_as_one_large_batch_would_be(divide, scaled: bool) -> None:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    losses = []
    with Monitor(model, optimizer) as watching:
        for step in range(14):  # the last step gets two micro-batches only
            loss = F.cross_entropy(model(INPUTS), LABELS)
            scaler.scale(divide(loss)).backward()
            losses.append(loss.item())
            if step % 4 == 3 or step == 13:
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
    expected = [np.mean(losses[start : start + 4]) for start in (0, 4, 8, 12)]
    np.testing.assert_allclose(watching.run.curves.get("train/loss").values, expected, rtol=1e-6)


@pytest.mark.parametrize("steps", [40, 3000])
def test_a_model_and_optimizers_local_to_a_function_are_known_when_they_are_gone(steps: int) -> None:
    def main() -> None:
        model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()

    with Monitor() as watching:
        main()
    run = watching.run
    assert run.model_summary is not None
    shapes = {layer.name: layer.weight_shape for layer in run.model_summary.layers}
    assert shapes["0"] == (5, 4)
    assert shapes["2"] == (3, 5)
    assert ("Adam", steps) in [(facts.kind, facts.steps) for facts in run.model_summary.optimizers]
    assert run.model_summary.unreached == ()
    assert "W702" not in [finding.code for finding in run.findings]


def test_an_optimizer_that_never_steps_is_taken_down() -> None:
    first, second = nn.Linear(4, 5), nn.Linear(5, 3)
    with Monitor() as watching:
        one, _two = torch.optim.Adam(first.parameters(), lr=0.01), torch.optim.Adam(second.parameters(), lr=0.01)
        for _ in range(30):
            one.zero_grad()
            F.cross_entropy(second(first(INPUTS).relu()), LABELS).backward()
            one.step()
    model_summary = watching.run.model_summary
    assert model_summary is not None
    assert sorted(facts.steps or 0 for facts in model_summary.optimizers) == [0, 30]


def test_a_loop_that_asks_for_gradients_and_steps_by_hand_is_seen_whole() -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(4, 2).requires_grad_(), torch.zeros(2, requires_grad=True)
    x, y = torch.randn(16, 4), torch.randn(16, 2)
    with Monitor() as looking:
        for _ in range(40):
            loss = ((x @ weight + bias - y) ** 2).mean()
            gradients = torch.autograd.grad(loss, [weight, bias])
            with torch.no_grad():
                weight -= 0.05 * gradients[0]
                bias -= 0.05 * gradients[1]
    run = looking.run
    assert run.events.counts["backward"] == 40
    assert run.model_summary.objectives[0].loss == "mse_loss"
    assert run.model_summary.objectives[0].target.shape == (16, 2)


def test_a_gradient_penalty_on_inputs_is_no_training_step() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 1).requires_grad_()
    x = torch.randn(16, 4, requires_grad=True)
    with Monitor() as looking:
        torch.autograd.grad((x @ weight).sum(), x, create_graph=True)
        torch.autograd.grad((x @ weight).sum(), [x])
    assert looking.run.events.counts.get("backward", 0) == 0


def test_a_hand_written_likelihood_is_no_squared_error() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 2)
    optimizer = torch.optim.Adam(network.parameters())
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    with Monitor() as looking:
        for _ in range(5):
            mean, deviation = network(x).chunk(2, 1)
            loss = (0.5 * ((y - mean) / deviation.exp()) ** 2 + deviation).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert [objective.loss for objective in looking.run.model_summary.objectives] == ["custom"]


def test_the_terms_of_a_loss_and_gradients_thrown_away_are_counted() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    x, y = torch.randn(16, 4), torch.randn(16, 2)
    with Monitor() as looking:
        for _ in range(6):
            for _ in range(3):
                optimizer.zero_grad()
                loss = torch.nn.functional.mse_loss(network(x), y) + 0.5 * network.weight.abs().sum()
                loss.backward()
            optimizer.step()
    run = looking.run
    assert run.events.counts["discarded"] == 12
    kinds = {term.kind: term for term in run.model_summary.terms}
    assert set(kinds) == {"data", "weights"}
    assert kinds["weights"].last < kinds["weights"].first


def test_a_hand_written_binary_cross_entropy_is_known_though_its_targets_are_no_labels() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Sigmoid())
    optimizer = torch.optim.Adam(network.parameters())
    x, y = torch.randn(16, 4), 2 * torch.rand(16) - 1
    with Monitor() as looking:
        for _ in range(5):
            p = network(x).squeeze(1).clamp(1e-7, 1 - 1e-7)
            loss = -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    objective = looking.run.model_summary.objectives[0]
    assert (objective.loss, objective.sign) == ("binary_cross_entropy", 1.0)


def test_a_second_training_is_not_called_healthy_without_a_word() -> None:
    torch.manual_seed(0)

    def train(*tail: nn.Module, steps: int) -> None:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), *tail)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(INPUTS), LABELS).backward()
            optimizer.step()

    with Monitor() as watching:
        train(steps=60)
        train(nn.Softmax(dim=1), steps=60)
    said = {finding.code: finding.message for finding in watching.run.findings}
    assert "To check a later training, watch it separately" in said["T001"]
    assert "W703" not in said  # its tensors take part in a training that was not looked at
    assert "one after another" in verdict(watching.run).why
