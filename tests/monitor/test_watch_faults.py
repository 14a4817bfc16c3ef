"""Nothing that measures may raise on the training's path: every function of ours fails once, and the training goes on.

Which functions there are is read from the modules, so that new code is covered. A trace function makes one fail at its
first or its last call (`sys.settrace` is switched off by what it raises, so each fails exactly once).
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import pkgutil
import random
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

import babysit
import babysit.metrics
import babysit.monitor
from babysit.monitor import (
    later_training,
    model_summary,
    online_judge,
    record_buffer,
    schedule,
    session,
    step_counting,
    torch_events,
)
from babysit.monitor.monitor import Monitor
from babysit.records.curves import Curves
from babysit.records.finding import Finding
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.rules import engine
from babysit.rules.tool.measurement_gap import RULE

# What torch, the user or Python itself calls: nothing of ours stands above these that could contain what they raise
# before their first line. What is inside them is watched over by them.
BOUNDARIES = {
    "torch_events": {"_notify", "_before_step", "_after_step"},
    "graph_capture": {"GraphCapture.__torch_function__", "GraphCapture._refused"},
    "sampled_step": {"SampledStep._enter", "SampledStep._leave"},
    "evaluation": {"Evaluation._enter", "Evaluation._leave"},
    "mode_effects": {"PassMode._noticing.<locals>.dropout"},
    "online_judge": {"OnlineJudge._judge"},
    "monitor": {
        "Monitor.__enter__", "Monitor.__exit__", "Monitor.start", "Monitor.close", "Monitor.log", "Monitor.pause",
        "Monitor.resume", "Monitor.run", "Monitor.snapshot", "Monitor.steps", "Monitor.findings", "Monitor.note",
        "Monitor._conclude",
    },
    # What catches: it fails only when something else has failed already.
    "errors": {"ErrorBoundary.contained", "ErrorBoundary.unseen", "ErrorBoundary.surely", "ErrorBoundary.problem"},
}  # fmt: skip
APART = {"script"}  # runs a script; measures nothing

INPUTS = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)
OTHERS = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))


class InjectedError(Exception):
    """What the injector raises."""


class Kept:
    """A writer that keeps nothing."""

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        pass

    def update(self, **parts: object) -> None:
        pass


class Network(nn.Module):
    """A bit of everything that is measured."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.PReLU(), nn.Linear(6, 6), nn.Sigmoid(), nn.Linear(6, 6)
        self.body = nn.Sequential(*inner)
        self.head = nn.Linear(6, 3)
        self.scale = torch.ones(3, requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(torch.relu(self.body(x)), 0.1, self.training)) @ torch.diag(self.scale)


class Boxed(nn.Module):
    """Takes an object, and returns one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, sample: SimpleNamespace) -> SimpleNamespace:
        return SimpleNamespace(logits=self.network(sample.values))


def evaluate(model: nn.Module) -> None:
    model.eval()
    with torch.no_grad():
        output = model(OTHERS)
        F.cross_entropy(output, OTHERS[:, :3].argmax(1)).item()
        (output.argmax(1) == OTHERS[:, :3].argmax(1)).float().mean().item()
    model.train()


def usual(model: Network, watching: Any) -> None:
    """Clipping, a scheduler, an evaluation; then steps alone, long enough to count steps."""
    optimizer = torch.optim.AdamW([*model.parameters(), model.scale], lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for step in range(16):
        optimizer.zero_grad()
        penalty = 1e-3 * sum((weight**2).sum() for weight in model.parameters())
        (F.cross_entropy(model(INPUTS), LABELS) + penalty).backward()
        if step < 6:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step == 3:
            evaluate(model)
            if watching is not None:
                watching.log("mine", 1.0)
                watching.pause()
                watching.resume()
                _ = watching.run, watching.findings


def several(model: Network, _watching: Any) -> None:
    """Two optimizers in turn, gradients by name, micro-batches, mixed precision, a loss by hand."""
    first = torch.optim.SGD(model.body.parameters(), lr=0.05, momentum=0.9)
    second = torch.optim.Adafactor(model.head.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    weights = list(model.parameters())
    for step in range(6):
        for half in (INPUTS[:6], INPUTS[6:]):
            loss = -(torch.log_softmax(model(half), 1) * F.one_hot(half[:, :3].argmax(1), 3)).sum(1).mean() / 2
            scaler.scale(loss).backward()
        scaler.step(first)
        second.step()
        scaler.update()
        first.zero_grad(set_to_none=step % 2 == 0)
        model.zero_grad()
        with torch.set_grad_enabled(False):
            Boxed(model)(SimpleNamespace(values=OTHERS))
    for _ in range(2):
        output = model(INPUTS)
        gradients = torch.autograd.grad(((output - INPUTS[:, :3]) ** 2).mean(), weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        second.step()


def closures(model: Network, _watching: Any) -> None:
    """An optimizer that calls the model itself, and a loss that torch refuses."""
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(INPUTS), INPUTS[:, :3])
        loss.backward()
        return loss

    with pytest.raises(ValueError, match="batch_size"):
        F.cross_entropy(model(INPUTS), LABELS[:5])
    for _ in range(3):
        optimizer.step(closure)


def by_hand(model: Network, _watching: Any) -> None:
    """No optimizer at all."""
    for _ in range(6):
        F.binary_cross_entropy_with_logits(model(INPUTS), (INPUTS[:, :3] > 0).float()).backward()
        with torch.no_grad():
            for weight in model.parameters():
                weight.sub_(0.05 * weight.grad)
                weight.grad = None


def stages(model: Network, _watching: Any) -> None:
    """Two trainings: a loader, weights that are loaded and kept, clipped values, then the head alone."""
    kept = model.state_dict()
    model.load_state_dict(kept, strict=False)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(INPUTS, LABELS), batch_size=6, shuffle=True)
    for trained in (model.body, model.head):
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        for _ in range(4):
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                nn.utils.clip_grad_value_(trained.parameters(), 1.0)
                optimizer.step()
        scheduler.step()
    model.load_state_dict({name: value.clone() for name, value in kept.items()})


EARLIER: list[Run] = []  # trainings that another followed


def received(run: Run) -> Kept:
    EARLIER.append(run)
    return Kept()


TRAININGS: tuple[Callable[[Network, Any], None], ...] = (usual, several, closures, stages, by_hand)


def run(training: Callable[[Network, Any], None], tracer: Any = None) -> tuple[str, Run | None]:
    """A training in a known state, watched when there is a tracer: a mark of all that must not change, and the run."""
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    model, watched = Network(), None
    EARLIER.clear()
    if tracer is None:
        training(model, None)
    else:
        torch_events._installed.clear()  # made again, so that making them may fail too
        options: dict[str, Any] = {"on_next": received} if training is stages else {}
        watching = Monitor(model if training is usual else None, overhead=1.0, writer=Kept(), **options)
        before = sys.gettrace()
        sys.settrace(tracer)
        threading.settrace(tracer)
        try:
            with watching:
                training(model, watching)
        finally:
            sys.settrace(before)
            threading.settrace(before)
        watched = watching.run
    state = [*model.state_dict().values(), model.scale, torch.get_rng_state()]
    marks = [tensor.detach().numpy().tobytes() for tensor in state]
    marks.append(repr((np.random.get_state()[1].tolist(), random.getstate())).encode())
    return hashlib.sha256(b"".join(marks)).hexdigest(), watched


def left_behind() -> list[str]:
    """What of ours is still in torch."""
    here = [name for name, owner, attribute in PATCHED if getattr(owner, attribute) is not ORIGINALS[name]]
    here += ["a mode"] * torch._C._len_torch_function_stack()
    hooks = (modules._global_forward_hooks, modules._global_forward_pre_hooks)
    here += [f"hook {hook}" for held in hooks for hook in held.values()]
    return here + [str(hook) for hook in (*_global_optimizer_pre_hooks, *_global_optimizer_post_hooks)]


PATCHED = [
    (f"{getattr(owner, '__name__', owner)}.{attribute}", owner, attribute)
    for owner, attribute in (
        (torch.autograd, "backward"), (torch.autograd, "grad"), (torch.optim.Optimizer, "zero_grad"),
        (torch.optim.Optimizer, "__init__"), (nn.Module, "zero_grad"), (nn.Module, "train"), (nn.Module, "compile"),
        (torch.no_grad, "__enter__"), (torch.no_grad, "__exit__"), (torch.set_grad_enabled, "__enter__"),
        (torch.set_grad_enabled, "__exit__"), (torch.inference_mode, "__enter__"), (torch, "compile"),
        (torch.inference_mode, "__exit__"), (nn.utils, "clip_grad_norm_"), (torch.amp.GradScaler, "scale"),
        (F, "dropout"),
    )
]  # fmt: skip
ORIGINALS: dict[str, Any] = {}


@pytest.fixture(autouse=True, scope="module")
def originals() -> None:
    """Record the functions of torch before the first test: libraries that other tests import replace some of them."""
    ORIGINALS.update({name: getattr(owner, attribute) for name, owner, attribute in PATCHED})


def functions_of(module: ModuleType) -> Iterator[CodeType]:
    """Every function of a module, those inside others too; comprehensions and class bodies are none."""
    source = open(module.__file__, encoding="utf-8").read()  # noqa: SIM115  the path of an imported module
    waiting = [compile(source, module.__file__, "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        function = code.co_flags & 2  # CO_NEWLOCALS: neither the module nor a class
        if function and not code.co_name.endswith(("comp>", "genexpr>")):
            yield code


def all_functions() -> dict[tuple[str, str, int], str]:
    """File, name and first line of each function that may fail, with a name to show."""
    found = {}
    for package in (babysit.monitor, babysit.metrics):
        for entry in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{entry.name}")
            for code in functions_of(module):
                name = code.co_qualname
                patched = entry.name == "torch_events" and "<locals>" in name  # stands in for a function of torch
                if entry.name not in APART and not patched and name not in BOUNDARIES.get(entry.name, ()):
                    found[code.co_filename, name, code.co_firstlineno] = f"{entry.name}.{name}"
    return found


FUNCTIONS = all_functions()
GENERATORS = {
    "graph_node.Node.ancestors", "nested_tensors.given_in", "parameter_registry.LayerParameters.tensors",
    "optimizers.Optimizers.alive",
}  # fmt: skip


def key_of(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


class Count:
    """Counts the calls of every function of ours."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, int], int] = {}

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and (key := key_of(frame.f_code)) in FUNCTIONS:
            self.calls[key] = self.calls.get(key, 0) + 1


class Fail:
    """Lets one function fail at one of its calls."""

    def __init__(self, key: tuple[str, str, int], at: int) -> None:
        self._key, self._name, self._left = key, key[1].rsplit(".", 1)[-1], at
        self.failed = False

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        named = event == "call" and frame.f_code.co_name == self._name  # asked first, since most calls are others
        if named and key_of(frame.f_code) == self._key:
            self._left -= 1
            if self._left == 0:
                self.failed = True
                raise InjectedError(FUNCTIONS[self._key])


def gaps_alone(run: Run, **_: object) -> tuple[Finding, ...]:
    """Judge by T001 alone, since judging is not what fails here and would take most of the time."""
    found = [evidence.message for evidence in RULE.find(run, {})]
    return tuple(
        Finding(code=RULE.code, name=RULE.name, severity=RULE.severity, rank=rank, message=message)
        for rank, message in enumerate(found, start=1)
    )


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes late in a training comes early in these."""
    monkeypatch.setattr(schedule, "DENSE_STEPS", 4)
    for module in (session, model_summary):
        monkeypatch.setattr(module, "CAPTURED_STEPS", 4)
    monkeypatch.setattr(schedule.Schedule, "between_at", lambda self, step: 5)
    monkeypatch.setattr(online_judge, "FIRST_LOOK_STEPS", 6)
    monkeypatch.setattr(step_counting, "DISTURBED_STEPS", 1)
    monkeypatch.setattr(record_buffer, "SLOW_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(later_training, "ALONE_STEPS", 5)
    monkeypatch.setattr(engine, "judge", gaps_alone)


def reached(training: Callable[[Network, Any], None]) -> dict[tuple[str, str, int], int]:
    """Functions that a training calls, and how often."""
    count = Count()
    run(training, count)
    return count.calls


def check(training: Callable[[Network, Any], None], plain: str, key: tuple[str, str, int], at: int) -> list[str]:
    """What is wrong when one call of one function fails."""
    fail, name = Fail(key, at), f"{FUNCTIONS[key]} at call {at} of {training.__name__}"
    try:
        mark, watched = run(training, fail)
    except InjectedError:
        torch_events._listeners = ()
        return [f"{name}: raised into the training"]
    wrong = [f"{name}: left {what}" for what in left_behind()]
    if mark != plain:
        wrong.append(f"{name}: changed the training")
    gaps = [event.detail for one in (*EARLIER, watched) for event in one.events.of("measurement_gap")]
    gaps += [finding.message for one in (*EARLIER, watched) for finding in one.findings if finding.code == "T001"]
    if fail.failed and not any(f"InjectedError: {FUNCTIONS[key]} (" in gap for gap in gaps):
        wrong.append(f"{name}: not told, only {gaps}")
    return wrong


def inject(choose: Callable[[list[tuple[str, str, int]]], list[tuple[str, str, int]]]) -> tuple[int, int, list[str]]:
    """Fail some functions, each in a training that calls it: how many, how many are reached, what is wrong."""
    plain = {training: run(training)[0] for training in TRAININGS}
    where: dict[tuple[str, str, int], tuple[Callable[[Network, Any], None], int]] = {}
    for training in TRAININGS:  # the last that calls a function, since the shortest come last
        where |= {key: (training, calls) for key, calls in reached(training).items()}
    chosen, wrong = choose(sorted(where)), []
    for key in chosen:
        training, calls = where[key]
        # What a generator raises when it is thrown away, Python itself keeps from everybody.
        for at in dict.fromkeys((1, 1 if FUNCTIONS[key] in GENERATORS else calls)):
            wrong += check(training, plain[training], key, at)
    return len(chosen), len(where), wrong


def test_a_training_goes_on_whatever_of_ours_fails_in_it() -> None:
    failed, _, wrong = inject(lambda keys: random.Random(0).sample(keys, 14))
    assert failed == 14
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_function_that_a_training_reaches_may_fail(part: int) -> None:
    failed, reached_ones, wrong = inject(lambda keys: keys[part::4])
    # The rest are protocols, and constructors that ran before the training began.
    assert reached_ones >= 0.75 * len(FUNCTIONS)
    assert failed >= reached_ones // 4
    assert not wrong, "\n".join(wrong)


def test_these_trainings_leave_no_gap_when_nothing_fails() -> None:
    for training in TRAININGS:
        _, watched = run(training, Count())
        gaps = [event.detail for event in watched.events.of("measurement_gap")]
        gaps += [finding.message for finding in watched.findings]
        own = [gap for gap in gaps if "without a step of a torch.optim optimizer" in gap]  # there is none to see
        assert own == gaps
        assert len(own) == (2 if training is by_hand else 0)


# A function that takes something of ours off torch cannot fail for ever and leave nothing behind.
ALWAYS = (
    "model_summary.ModelSummaryBuilder.model_summary", "model_summary.ModelSummaryBuilder.loss",
    "batch_stats.BatchStats.add", "run_fields._events", "metric_collector.MetricCollector.before_step",
    "metric_collector.MetricCollector.finish", "session.TrainingSession._end_window",
    "session.TrainingSession.on_backward", "session.TrainingSession.on_after_step", "operations.operation_name",
    "optimizers.Optimizers.stepped", "recorder.Recorder.settle", "recorder.Recorder.send",
    "schedule.Schedule.record_step_time", "graph_capture.GraphCapture._see", "sampled_step.SampledStep.backward",
)  # fmt: skip


@pytest.mark.parametrize("name", ALWAYS)
def test_what_fails_at_every_call_changes_nothing_either(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def always(*_arguments: object, **_names: object) -> None:
        raise InjectedError(name)

    plain = run(usual)[0]
    file, *path, last = name.split(".")
    owner = functools.reduce(getattr, path, importlib.import_module(f"babysit.monitor.{file}"))
    owners = (
        [owner]
        if path
        else [importlib.import_module(f"babysit.monitor.{one}") for one in (file, "graph_capture", "run_fields")]
    )
    for one in owners:
        if hasattr(one, last):
            monkeypatch.setattr(one, last, always)
    mark, watched = run(usual, Count())
    assert mark == plain
    assert not left_behind()
    gaps = [event.detail for event in watched.events.of("measurement_gap")]
    gaps += [finding.message for finding in watched.findings]
    assert any(f"InjectedError: {name} (monitor/" in gap for gap in gaps)
