"""A loss of NaN that stops the loop before backward is found when the watch closes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run
from babysit.records.verdict import Missing, Verdict

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(256, 8, generator=GENERATOR)
LABELS = INPUTS[:, :3].argmax(1)
STEPS = 80

Break = Callable[[nn.Module, Tensor], Tensor]


def infinite_input(model: nn.Module, x: Tensor) -> Tensor:
    return model(x * float("inf"))


def lost_weight(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        next(model.parameters())[0, 0] = float("nan")
    return model(x)


def root_of_negatives(model: nn.Module, x: Tensor) -> Tensor:
    return torch.sqrt(model(x) - 100)


def forward(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)


class Training:
    """A network that learns, and what is done after its last step."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)

    def loss(self, output: Break = forward) -> Tensor:
        rows = torch.randint(len(INPUTS), (64,))
        return F.cross_entropy(output(self.model, INPUTS[rows]), LABELS[rows])

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def events(run: Run) -> set[str]:
    return {"nonfinite_loss", "nonfinite_parameter", "unfinished_pass"} & set(run.events.counts)


@pytest.mark.parametrize("steps", [3, STEPS])
@pytest.mark.parametrize("output", [infinite_input, lost_weight, root_of_negatives])
def test_a_loss_that_is_not_finite_and_gets_no_backward_is_a_problem(output: Break, steps: int) -> None:
    training = Training()
    with Monitor(training.model, training.optimizer) as watching:
        for number in range(100):
            loss = training.loss(output if number == steps else forward)
            if not torch.isfinite(loss):
                break
            training.step(loss)
    run = watching.run
    seen = next(one for one in run.findings if one.code == "F906")
    assert (run.verdict, seen.first_step) == (Verdict.PROBLEMS, steps)
    assert f"After {steps} steps the loss was NaN, and no step followed." in {one.message for one in run.findings}


def test_a_pass_without_a_step_whose_loss_is_gone_makes_the_verdict_inconclusive() -> None:
    training = Training()

    def train() -> None:
        for number in range(STEPS + 1):
            loss = training.loss(infinite_input if number == STEPS else forward)
            if not torch.isfinite(loss):
                return
            training.step(loss)

    with Monitor(training.model, training.optimizer) as watching:
        train()
    run = watching.run
    assert (run.verdict, run.missing, events(run)) == (
        Verdict.INCONCLUSIVE,
        (Missing.LAST_STEP,),
        {"unfinished_pass"},
    )


def test_parameters_that_are_not_finite_after_the_last_step_are_a_problem() -> None:
    training = Training()
    with Monitor(training.model, training.optimizer) as watching:
        for _ in range(STEPS):
            training.step(training.loss())
        with torch.no_grad():
            training.model[2].bias[1] = float("inf")
    assert [event.detail for event in watching.run.events.of("nonfinite_parameter")] == ["2.bias"]
    assert "F906" in {one.code for one in watching.run.problems}


def nothing(training: Training) -> None:
    pass


def evaluated_without_gradient(training: Training) -> None:
    with torch.no_grad():
        training.loss()


def evaluated_with_gradient(training: Training) -> None:
    training.kept = training.loss()  # type: ignore[attr-defined]


def predicted_with_gradient(training: Training) -> None:
    training.model(INPUTS)


@pytest.mark.parametrize(
    "after", [nothing, evaluated_without_gradient, evaluated_with_gradient, predicted_with_gradient]
)
def test_what_a_sound_program_does_after_its_last_step_changes_nothing(after: Callable[[Training], None]) -> None:
    training = Training()
    with Monitor(training.model, training.optimizer) as watching:
        for _ in range(STEPS):
            training.step(training.loss())
        after(training)
    assert (events(watching.run), watching.run.verdict) == (set(), Verdict.HEALTHY)


def test_a_loop_that_also_makes_passes_without_a_step_is_not_asked_for_one_at_its_end() -> None:
    training = Training()
    with Monitor(training.model, training.optimizer) as watching:
        for number in range(STEPS):
            training.step(training.loss())
            if number % 5 == 4:
                training.loss()
    assert events(watching.run) == set()
