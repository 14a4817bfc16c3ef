"""`watch`: joins hooks, measurements, rules and the store around a training loop that knows nothing of them."""

from __future__ import annotations

import contextlib
import math
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Self, final

import msgspec
import torch
from torch import Tensor, nn

from babysit.records.curves import ACCURACY_TRAIN, GRADIENT_NORM, LOSS_TRAIN, RATE
from babysit.records.problem import UserError
from babysit.records.run import Overhead, Run, Status
from babysit.watcher import patches
from babysit.watcher.anatomist import CAPTURED_STEPS, Anatomist
from babysit.watcher.batches import BatchProfile
from babysit.watcher.book import ParameterBook, is_compiled
from babysit.watcher.environment import environment
from babysit.watcher.evaluation import Evaluation
from babysit.watcher.gauge import Gauge
from babysit.watcher.recorder import Recorder, Sink
from babysit.watcher.schedule import Schedule
from babysit.watcher.window import Window

FLUSH_STEPS: Final = 64
FLUSH_SECONDS: Final = 0.5
# An optimizer that stepped this often while the leading one rested has taken over (one model trained after another).
HANDOVER_STEPS: Final = 200
# A no_grad block in each of so many steps in a row belongs to the training step (an average of weights, a target
# network); it is then looked at on sampled steps only.
HABIT_STEPS: Final = 5


def watch(
    model: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    overhead: float = 0.01,
    name: str = "",
    writer: Sink | None = None,
) -> Watch:
    """Watch a training loop: `with babysit.watch(model, optimizer) as w:` around it is all there is to do.

    Losses, layers, the objective and evaluation passes are seen by themselves. Weights and random state stay bit for
    bit what they would have been.

    Args:
        model: the network; None finds it when it is first called.
        optimizer: only this optimizer counts; None means every one.
        overhead: share of step time that watching may take once the dense beginning is over.
        name: a name for the run.
        writer: where records go while training runs (`Store.open_writer`); None keeps them in memory.

    Raises:
        UserError: `model` is no module, `optimizer` no optimizer, or `overhead` is not above 0 and at most 1.
    """
    if model is not None and not isinstance(model, nn.Module):
        raise UserError(f"watch needs a torch.nn.Module, not {type(model).__name__}", do="Pass the model itself")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(
            f"watch needs a torch.optim.Optimizer, not {type(optimizer).__name__}",
            do="Pass the optimizer, or leave it out to watch every optimizer",
        )
    if not isinstance(overhead, int | float) or not 0 < overhead <= 1:
        raise UserError(f"overhead is a share of step time above 0 and at most 1, not {overhead!r}", do="0.01 is usual")
    return Watch(model, optimizer, overhead=overhead, name=name, writer=writer)


@final
class Watch:
    """A watch over one training, from `start` to `close`; a context manager that does both."""

    def __init__(
        self,
        model: nn.Module | None,
        optimizer: torch.optim.Optimizer | None,
        *,
        overhead: float,
        name: str,
        writer: Sink | None,
    ) -> None:
        self._book = ParameterBook()
        self._gauge = Gauge(self._book)
        self._anatomist = Anatomist(self._book)
        self._batches = BatchProfile()
        self._recorder = Recorder()
        self._schedule = Schedule(overhead)
        self._window = Window(self._book, self._gauge, self._anatomist, self._batches, self._problem)
        self._evaluation = Evaluation(self._book, self._batches, self._anatomist.scale_of, self._problem)
        self._writer = writer
        self._only = weakref.ref(optimizer) if optimizer is not None else None
        self._optimizers: list[weakref.ref[torch.optim.Optimizer]] = []
        self._optimizer_steps: dict[int, int] = {}
        self._leader = 0
        self._since_leader = 0
        self._losses: list[float | Tensor] = []
        self._in_step = False
        self._manual = True
        self._off_habit, self._off_step = 0, -1
        self._parts: dict[str, Any] = {}
        self._problems: dict[str, str] = {}
        self._open = False
        self._last_time = self._last_flush = time.perf_counter()
        self._run = Run(id=_identity(), name=name, created=_now(), environment=environment())
        self.steps = 0
        if model is not None:
            self._book.register(model)
            self._anatomist.compiled = is_compiled(model)

    # -- lifetime

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        status = Status.FINISHED if kind is None else Status.INTERRUPTED if interrupted else Status.CRASHED
        self.close(status=status)

    def start(self) -> Self:
        """Begin to listen."""
        if not self._open:
            self._open = True
            patches.listen(self)
            self._last_time = self._last_flush = time.perf_counter()
            if self._only is not None or self._book.places:
                self._arm()
        return self

    def close(self, *, status: Status = Status.FINISHED) -> Run:
        """Stop listening, judge, and give the whole run; safe to call again."""
        if self._open:
            self._open = False
            patches.forget(self)
            self._window.close()
            while self._evaluation.running:
                self._evaluation.end()
            self._take_evaluation()
            self._run = self._judged(self._snapshot(status=status, ended=_now()))
            if self._writer is not None:
                self._recorder.send(self._writer, self._anatomist.order())
                self._writer.update(**{name: getattr(self._run, name) for name in _WRITTEN})
        return self._run

    def log(self, name: str, value: float, *, step: int | None = None) -> None:
        """Record a scalar of your own, such as `w.log("loss/validation", loss)` after an epoch."""
        self._recorder.scalar(name, self.steps if step is None else step, float(value))

    def note(self, **run_fields: Any) -> None:
        """Set parts of the run: config, data, probes, trials, ranges, result, artifacts, command, stop_reason."""
        unknown = set(run_fields) - set(Run.__struct_fields__)
        if unknown:
            raise UserError(
                f"a run has no {', '.join(sorted(unknown))}", do=f"Its parts: {', '.join(Run.__struct_fields__)}"
            )
        self._parts.update(run_fields)

    def snapshot(self) -> Run:
        """The run so far, not judged."""
        return self._snapshot(status=Status.RUNNING) if self._open else self._run

    @property
    def run(self) -> Run:
        """The run: judged once closed, so far otherwise."""
        return self.snapshot()

    def name_models_by(self, name_of: Callable[[nn.Module], str]) -> None:
        """How to call a model that is found by itself."""
        self._window.name_of = name_of

    # -- the loop tells

    def on_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer was made: the first step to come is sampled."""
        if self._only is None and not self._in_step:
            self._recorder.event(self.steps, "optimizer", type(optimizer).__name__)
            if not self._window.active and self._schedule.wants(self.steps):
                self._arm()

    def on_before_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """An optimizer is about to step."""
        if not self._mine(optimizer):
            return
        self._in_step = True
        if self._window.active:
            with self._unseen("step"):
                own = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
                if self._window.capturing and not closure:
                    self._anatomist.optimizer(optimizer)
                self._gauge.before_step(lambda tensor: id(tensor) in own, with_gradients=not closure)
            if not closure:  # a closure runs the model inside the step; otherwise nothing in it is worth following
                self._window.pause()

    def on_after_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """An optimizer has stepped."""
        if not self._mine(optimizer):
            return
        self._in_step = self._manual = False
        index = self._index(optimizer)
        self._optimizer_steps[id(optimizer)] = self._optimizer_steps.get(id(optimizer), 0) + 1
        if self._window.active:
            with self._unseen("step"):
                if self._window.capturing and closure:
                    self._anatomist.optimizer(optimizer)
                self._gauge.after_step(with_gradients=closure)
            if not closure:
                self._window.resume()
        self._record_losses("" if index == self._leader else f"/{index}", first_only=closure)
        if index != self._leader:
            self._since_leader += 1
            if self._since_leader <= HANDOVER_STEPS:
                return
            self._leader = index
        self._since_leader = 0
        self._step_done(optimizer)

    def on_backward(self, tensors: Any) -> None:
        """Gradients are about to be computed: this scalar is the loss."""
        only = tensors[0] if isinstance(tensors, tuple | list) and len(tensors) == 1 else tensors
        if not isinstance(only, Tensor) or only.numel() != 1:
            return
        loss = only.detach()
        if self._manual and not self._in_step and not self._optimizers and self._only is None and self._losses:
            self._record_losses("", first_only=False)
            self._step_done(None)
        # On the CPU reading a scalar costs nothing; elsewhere it would wait for the device, so it is read later.
        self._losses.append(loss.item() if loss.device.type == "cpu" else loss)
        self._recorder.event(self.steps, "backward", keep=False)
        if self._window.active:
            with self._unseen("backward"):
                self._window.backward(only)

    def on_zero_grad(self, owner: object) -> None:
        """Gradients are about to be cleared."""
        self._recorder.event(self.steps, "zero_grad", keep=False)

    def on_mode(self, module: nn.Module, *, training: bool) -> None:
        """A module was put into train or eval mode; only whole models count."""
        if type(module).__name__ in self._book.model_names:
            self._recorder.event(self.steps, "train_mode" if training else "eval_mode", type(module).__name__)

    def on_gradient_off(self) -> None:
        """A block without gradients begins: an evaluation, perhaps."""
        if self._in_step or self._anatomist.compiled:
            return
        if not self._evaluation.running:
            if self.steps == 0 or (self._has_habit() and not self._window.active):
                return
            self._window.pause()
        with self._guarded("evaluation"):
            self._evaluation.begin()

    def on_gradient_on(self) -> None:
        """It ends."""
        if self._evaluation.running and not self._in_step:
            with self._guarded("evaluation"):
                self._evaluation.end()
            if not self._evaluation.running:
                self._window.resume()

    def on_clip(self, norm: Any, limit: float) -> None:
        """Gradients were clipped: their norm before it, for free."""
        self._recorder.event(self.steps, "clip", f"{limit:g}", keep=self.steps < CAPTURED_STEPS)
        if isinstance(norm, Tensor) and norm.numel() == 1:
            self._recorder.scalar(GRADIENT_NORM, self.steps, norm.detach())

    def on_compile(self) -> None:
        """Compiled code runs without the mode from now on."""
        self._anatomist.compiled = True
        self._window.close()
        self._problem(
            "torch.compile",
            RuntimeError("activations inside compiled code cannot be seen; weights, gradients and updates are"),
        )

    # -- inside

    def _arm(self) -> None:
        """Look at the coming step."""
        self._window.capturing = self.steps < CAPTURED_STEPS
        self._window.open()
        if self._anatomist.compiled or patches.compiled_frames():
            self._anatomist.compiled = True
            self._window.pause()

    def _step_done(self, optimizer: torch.optim.Optimizer | None) -> None:
        now, sampled = time.perf_counter(), self._window.active
        if sampled:
            self._end_window(optimizer)
        self._schedule.finished(self.steps, now - self._last_time, sampled=sampled)
        self._take_evaluation()
        self.steps += 1
        if self._schedule.wants(self.steps):
            self._arm()
        if self.steps % FLUSH_STEPS == 0 or sampled:
            self._flush()
        # The time of our own work after a sampled step counts as part of the next interval only if that is sampled.
        self._last_time = time.perf_counter() if sampled and not self._window.active else now

    def _end_window(self, optimizer: torch.optim.Optimizer | None) -> None:
        with self._unseen("step"):
            if self._window.accuracy is not None:
                self._recorder.scalar(ACCURACY_TRAIN, self.steps, self._window.accuracy)
            if optimizer is not None:
                self._recorder.scalar(RATE, self.steps, float(optimizer.param_groups[0].get("lr", math.nan)))
            keys, counts, row = self._gauge.finish()
            if row is not None:
                self._recorder.row((self.steps, keys, counts, row))
        self._window.close()

    def _record_losses(self, suffix: str, *, first_only: bool) -> None:
        """One point of the loss curve: the mean over the micro-batches of this step; for a closure, where it began."""
        losses, self._losses = self._losses, []
        if not losses:
            return
        losses = losses[:1] if first_only else losses
        value = losses[0] if len(losses) == 1 else sum(losses[1:], start=losses[0]) / len(losses)
        self._recorder.scalar(LOSS_TRAIN + suffix, self.steps, value)

    def _take_evaluation(self) -> None:
        means = self._evaluation.take()
        if means:
            self._recorder.event(self.steps, "evaluation")
        for name, value in means.items():
            self._recorder.scalar(name, self.steps, value)

    def _flush(self) -> None:
        if time.perf_counter() - self._last_flush < FLUSH_SECONDS:
            return
        self._last_flush = time.perf_counter()
        with self._unseen("recording"):
            self._recorder.settle()
            if self._writer is not None:
                self._recorder.send(self._writer, self._anatomist.order())

    def _has_habit(self) -> bool:
        """Whether blocks without gradient come with every training step."""
        if self.steps - self._off_step == 1:
            self._off_habit += 1
        elif self.steps != self._off_step:
            self._off_habit = 0
        self._off_step = self.steps
        return self._off_habit >= HABIT_STEPS

    def _mine(self, optimizer: torch.optim.Optimizer) -> bool:
        return self._only is None or self._only() is optimizer

    def _index(self, optimizer: torch.optim.Optimizer) -> int:
        for index, reference in enumerate(self._optimizers):
            if reference() is optimizer:
                return index
        self._optimizers.append(weakref.ref(optimizer))
        return len(self._optimizers) - 1

    @contextlib.contextmanager
    def _unseen(self, where: str) -> Iterator[None]:
        """Our own work: no mode looks at it, and what goes wrong in it stays here."""
        with torch._C.DisableTorchFunction(), self._guarded(where):
            yield

    @contextlib.contextmanager
    def _guarded(self, where: str) -> Iterator[None]:
        try:
            yield
        except Exception as problem:
            self._problem(where, problem)

    def _problem(self, where: str, problem: BaseException) -> None:
        """Keep one line a place; rule T001 tells it at the end."""
        if where not in self._problems:
            self._problems[where] = f"{type(problem).__name__}: {problem}"
            self._recorder.event(self.steps, "measurement_gap", f"{where}: {type(problem).__name__}: {problem}"[:500])

    def _snapshot(self, *, status: Status, ended: str = "") -> Run:
        with self._unseen("recording"):
            self._recorder.settle()
        anatomy = self._anatomist.anatomy(self._batches.batch_size, dict(self._optimizer_steps))
        counts = anatomy.objectives[0].class_counts if anatomy.objectives else ()
        fields: dict[str, Any] = {
            "status": status,
            "ended": ended,
            "anatomy": anatomy,
            "data": self._batches.profile(counts, self._anatomist.target_moments),
            "vitals": self._recorder.vitals(self._anatomist.order()),
            "curves": self._recorder.curves(),
            "events": self._recorder.events(self.steps),
            "overhead": Overhead(
                budget=self._schedule.overhead,
                share=self._schedule.share,
                seconds=self._schedule.cost_seconds * self._schedule.sampled_steps,
                sampled_steps=self._schedule.sampled_steps,
                steps=self.steps,
                every=self._schedule.between + 1,
            ),
        }
        return msgspec.structs.replace(self._run, **{**fields, **self._parts})

    def _judged(self, run: Run) -> Run:
        judged = [run]
        with self._guarded("judging"):
            from babysit.rules.judge import judge

            judged.append(msgspec.structs.replace(run, findings=judge(run)))
        return judged[-1]


_WRITTEN: Final = (
    "status", "ended", "name", "command", "config", "anatomy", "data", "probes", "events", "trials", "ranges",
    "findings", "result", "artifacts", "stop_reason", "overhead", "environment",
)  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _identity() -> str:
    from babysit.store.identity import new_run_id

    return new_run_id()
