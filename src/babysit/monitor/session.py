"""Measures one training from its events: counts, losses, sampled steps and evaluations."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from babysit.monitor import torch_events
from babysit.monitor.backward_sums import BackwardSums
from babysit.monitor.batch_stats import BatchStats
from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.evaluation import Evaluation
from babysit.monitor.last_pass import LastPass, nonfinite
from babysit.monitor.manual_updates import ManualUpdateDetector
from babysit.monitor.metric_collector import MetricCollector
from babysit.monitor.model_summary import CAPTURED_STEPS, ModelSummaryBuilder
from babysit.monitor.online_judge import OnlineJudge
from babysit.monitor.optimizers import Optimizers, lr_of
from babysit.monitor.parameter_registry import ParameterRegistry, is_compiled
from babysit.monitor.record_buffer import RecordBuffer
from babysit.monitor.recorder import Recorder, RunWriter
from babysit.monitor.run_fields import Sources, run_fields
from babysit.monitor.sampled_step import SampledStep
from babysit.monitor.schedule import Schedule
from babysit.monitor.step_counting import StepCounter
from babysit.monitor.step_losses import StepLosses
from babysit.records.curves import GRADIENT_NORM, TRAIN_LOSS
from babysit.records.finding import Finding
from babysit.records.run import Run

if TYPE_CHECKING:
    from babysit.monitor.later_training import LaterTraining


@final
class TrainingSession:
    """Receives the events of a training (torch_events.py) and keeps what was measured; never raises into it."""

    def __init__(
        self,
        models: Sequence[nn.Module] = (),
        optimizers: Sequence[torch.optim.Optimizer] = (),
        *,
        overhead: float,
        writer: RunWriter | None,
        on_finding: Callable[[Finding], None] | None = None,
    ) -> None:
        self._book = ParameterRegistry()
        self._gauge = MetricCollector(self._book)
        self._anatomist = ModelSummaryBuilder(self._book)
        self._batches = BatchStats()
        self.recorder = Recorder()
        self.guard = ErrorBoundary(lambda kind, detail: self.recorder.event(self.steps, kind, detail))
        self._schedule = Schedule(overhead)
        self.window = SampledStep(self._book, self._gauge, self._anatomist, self._batches, self.guard.problem)
        self._evaluation = Evaluation(self._book, self._batches, self._anatomist, self.guard)
        self._outlet = RecordBuffer(self.recorder, self._schedule, writer)
        self._only = tuple(map(weakref.ref, optimizers))  # empty: every optimizer counts
        self._optimizers = Optimizers()
        self.on_problem = self.guard.problem
        self.live = OnlineJudge(overhead, self.recorder.event, self._schedule.request_samples, writer, self.on_problem)
        self.live.on_finding = on_finding
        self.later: LaterTraining | None = None  # where trainings after this one are measured separately
        self._in_step = self._plain_steps = False  # the second: whether nothing happens inside a step but the step
        self._by_hand = ManualUpdateDetector(self._book, self.guard, possible=not optimizers)
        self._modes: dict[str, bool] = {}
        self._last_time, self._done = time.perf_counter(), 0  # the second: steps, without those being counted
        self._losses, self._sums = StepLosses(self._anatomist.scales), BackwardSums(self.window, self.guard)
        heard = self._optimizers, self._losses, self._schedule, self.window.gradients
        self._sources = Sources(self.recorder, self._anatomist, self._batches, *heard)
        self._last_pass = LastPass()
        self._end_events: list[tuple[str, str]] | None = None  # what was seen at the end, once it was looked at
        self._doze = StepCounter(self, self._schedule, self._optimizers, self._losses, self._outlet, self._last_pass)
        self.on_step_counted, self.on_scale = self._doze.count, self._losses.scale
        self._compiled_before = torch_events.compiled_frames()
        for model in models:
            with self.guard.contained("model"):
                self._book.register(model)
                if is_compiled(model):
                    self.on_compile(model)

    @property
    def steps(self) -> int:
        """How many steps there were."""
        return self._done + self._doze.counted

    # -- lifetime

    def start(self, *, at_once: bool) -> None:
        """Begin to listen; sample the first step from now on, or from the first optimizer that is made."""
        self.resume()
        self._outlet.begin()
        if at_once:
            self._arm()

    def pause(self) -> None:
        """Stop listening until `resume`; no hook stays in torch, also if something fails on the way."""
        self.guard.surely("pause", self.on_full_tracing, lambda: torch_events.unsubscribe(self), self.window.close)
        self.guard.surely("pause", self.window.leave, self._evaluation.close)

    def set_aside(self) -> None:
        """Stop listening as at the end, which this is if another training follows; `resume` if not."""
        self.guard.surely("pause", self._look_at_the_end, self.pause)

    def resume(self) -> None:
        """Listen again."""
        self._end_events = None
        torch_events.subscribe(self)
        self._last_pass.begin()
        self._last_time = time.perf_counter()

    def close(self) -> None:
        """Stop listening and leave nothing behind."""
        self.guard.surely("close", self.pause, self.live.close, self._take_evaluation, self._look_at_the_end)
        self.guard.surely(
            "close", self._record_the_end, self._evaluation.report_unread, lambda: self._outlet.end(self.steps)
        )

    def discard(self) -> None:
        """Stop listening; what was measured is not used."""
        self.guard.surely("discard", self.pause, self.live.close)

    def write_to(self, writer: RunWriter | None) -> None:
        """Send records to this writer from now on."""
        self._outlet.writer = self.live.writer = writer

    def stepped(self, optimizer: torch.optim.Optimizer) -> bool:
        """Check whether this optimizer has made a step of this training."""
        return self._optimizers.has_stepped(optimizer)

    def abandon(self) -> None:
        """Look no more, in a forked child; reads nothing, as a device cannot be used there."""
        self.window.abandon()
        self._evaluation.close()

    def send(self, writer: RunWriter) -> None:
        """Hand the writer what it has not got yet."""
        self.recorder.send(writer, self._anatomist.order())

    def on_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Register a new optimizer; the next step is sampled."""
        if not self._only and not self._in_step:
            if self._optimizers.replaced_by(optimizer) is None and self._begins_later(optimizer):
                return
            self.recorder.event(self.steps, "optimizer", type(optimizer).__name__)
            if self._optimizers.made(optimizer):
                self.recorder.event(self.steps, "optimizer_recreated", type(optimizer).__name__, keep=False)
            if not self.window.active and self._schedule.should_sample(self.steps):
                self._arm()

    def on_before_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """Prepare for the step of an optimizer."""
        if self._only and all(one() is not optimizer for one in self._only):
            return
        if self.later is not None and not self.later.claims(self, optimizer):
            return
        self._in_step, self._plain_steps = True, not closure
        if self.window.active:
            with self.guard.unseen("step"):
                if self.window.capturing and not closure:
                    self._anatomist.optimizer(optimizer, self._optimizers.number(optimizer))
                self._gauge.before_step(optimizer, with_gradients=not closure)
            if not closure:  # a closure runs the model inside the step; otherwise nothing in it is worth following
                self.window.pause()

    def on_after_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """Count the step of an optimizer and record what was sampled of it."""
        if self._only and all(one() is not optimizer for one in self._only):
            self._optimizers.others += 1
            self.on_full_tracing()
            self._losses.defer()
            return
        self._in_step = self._by_hand.possible = False
        if self._doze.on:
            self._doze.count(optimizer)
            return
        leads = (index := self._optimizers.stepped(optimizer)) == self._optimizers.leader
        if self.window.active:
            with self.guard.unseen("step"):
                if self.window.capturing and closure:
                    self._anatomist.optimizer(optimizer, self._optimizers.number(optimizer))
                self._gauge.after_step(with_gradients=closure)
                self.window.gradients.stepped()
            with self.guard.contained("step"):
                self.window.resume()
        self._losses.step_done()
        if self._losses:
            # The leader steps first and is counted then: what the others do still belongs to that step.
            name, step = (TRAIN_LOSS, self.steps) if leads else (f"{TRAIN_LOSS}/{index}", max(self.steps - 1, 0))
            self._outlet.loss(name, step, self._losses.take())
        if self._optimizers.leads(index):
            self._step_done(optimizer)
        elif self._optimizers.handed_over:
            self._optimizers.later_measured = self._begins_later(optimizer)

    def on_backward(self, tensors: Any, weights: Any = None, *, adds: bool = True) -> None:
        """Gradients are about to be computed: this scalar is the loss."""
        if self._doze.on and (not self._doze.reads or (weights is None and self._losses.add_fast(tensors))):
            return
        if (scalar := self._sums.of(tensors, weights)) is None:
            return
        loss, evidence = self._losses.unscaled(scalar), None
        if self._doze.on:
            self._losses.add(loss, counted=False)
            return
        if self.window.active:
            with self.guard.unseen("backward"):
                evidence = self.window.backward(loss, first=not self._losses, adds=adds)
                self._gauge.closure_called()
        # Without an optimizer a step lasts from one backward to the next.
        if not self._in_step and self._by_hand.stepped(self._losses):
            self._outlet.loss(TRAIN_LOSS, self.steps, self._losses.take())
            self._step_done(None)
        self._losses.add(loss, evidence, in_step=self._in_step)
        if self._in_step and self.window.active:  # the tries of a closure are alike: the first is enough
            self.window.pause()

    def on_zero_grad(self, owner: object) -> None:
        """Gradients are about to be cleared."""
        if not self._doze.on:
            self._optimizers.clears(owner)
            self._losses.cleared(in_step=self._in_step)

    def on_mode(self, module: nn.Module, *, training: bool) -> None:
        """Record that a module was put into train or eval mode; only whole models and only changes count."""
        if (kind := type(module).__name__) in self._book.model_names and self._modes.get(kind, True) != training:
            self._modes[kind] = training
            self.recorder.event(self.steps, "train_mode" if training else "eval_mode", kind)

    def on_gradient_off(self) -> None:
        """Begin a block without gradients, which may be an evaluation."""
        self._plain_steps &= not self._in_step  # unheard, a block in a step would look like an evaluation
        if self._in_step or self._anatomist.compiled or self._doze.busy:
            return
        self.on_full_tracing(disturbed=True)
        if not self._evaluation.running:
            if self.steps == 0:
                return
            self.window.pause()
        with self.guard.contained("evaluation"):
            self._evaluation.begin(waiting=self._evaluation.is_habit(self.steps))

    def on_gradient_on(self) -> None:
        """End the block without gradients."""
        if self._evaluation.running and not self._in_step:
            with self.guard.contained("evaluation"):
                if self._evaluation.end():
                    self.window.resume()

    def on_clip(self, norm: Any, limit: Any) -> None:
        """Gradients were clipped: their norm before, for free."""
        self.recorder.event(self.steps, "clip", f"{float(limit):g}", keep=self.steps < CAPTURED_STEPS)
        if isinstance(norm, Tensor) and norm.numel() == 1:
            self.recorder.scalar(GRADIENT_NORM, self.steps, norm.detach())

    def on_compile(self, what: object = None) -> None:
        """Compiled code runs without the mode from now on; its weights can be looked at all the same."""
        if isinstance(what, nn.Module):
            self._book.register(what)
        self._anatomist.compiled = True
        self.window.close()
        said = "activations inside compiled code cannot be seen; weights, gradients and updates are"
        self.guard.problem("torch.compile", RuntimeError(said))

    def on_full_tracing(self, *, disturbed: bool = False) -> None:
        """Hear everything from now on."""
        if self._doze.on:
            self._losses.resume_mid_step(at_end=self._doze.at_end, wanted=self._doze.reads)
            counted = self._doze.counted
            try:
                self._doze.end(disturbed=disturbed)
            finally:
                self._done += 0 if self._doze.on else counted
                self._last_time = time.perf_counter()

    def _begins_later(self, optimizer: torch.optim.Optimizer) -> bool:
        return self.later is not None and self.later.begin(self, optimizer)

    def _arm(self) -> None:
        self.on_full_tracing()
        if not self._anatomist.compiled and torch_events.compiled_frames() > self._compiled_before:
            self.on_compile()
        self.window.capturing = self.steps < CAPTURED_STEPS
        self.window.open(traced=not self._anatomist.compiled)

    def _step_done(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Count a finished step, also if nothing of it could be measured."""
        now, sampled = time.perf_counter(), self.window.active
        try:
            if sampled:
                self._end_window(optimizer)
            self._schedule.record_step_time(self.steps, now - self._last_time, sampled=sampled)
            self._take_evaluation()
        except Exception as problem:
            self.guard.problem("step", problem)
        self._done += 1
        self._last_pass.stepped(sampled=sampled)
        self._do_what_is_due(optimizer, now, sampled=sampled)

    def _do_what_is_due(self, optimizer: torch.optim.Optimizer | None, now: float, *, sampled: bool) -> None:
        """All that may be wanted between two steps."""
        if self.steps == CAPTURED_STEPS:
            with self.guard.unseen("optimizers"):
                self._anatomist.all_optimizers(self._optimizers)
        if self._schedule.should_sample(self.steps):
            self._arm()
        if self._outlet.due(self.steps, now):
            with self.guard.unseen("recording"):
                self._outlet.flush(self.steps, self._anatomist.order(), self._schedule.cost(self.steps))
        if self.live.wants(self.steps):
            with self.guard.unseen("judging"):
                self.live.look(lambda: Run(id="", **self.facts()), self.steps)
        self.live.deliver()
        if self.later is not None:
            self.later.step_done(self)
        # Our own work after a sampled step belongs to neither that step nor the next plain one.
        self._last_time = time.perf_counter() if sampled and not self.window.active else now
        if self._plain_steps and self.steps >= CAPTURED_STEPS and not self.window.active:
            self._doze.begin(self.steps, optimizer)

    def _end_window(self, optimizer: torch.optim.Optimizer | None) -> None:
        try:
            with self.guard.unseen("step"):
                lr = lr_of(optimizer) if optimizer is not None else None
                self.recorder.sampled(self.steps, self.window.accuracy, lr, self._gauge.finish())
        finally:
            self.window.close()

    def _take_evaluation(self) -> None:
        means = self._evaluation.take()
        if means:
            self.recorder.event(self.steps, "evaluation", self._evaluation.mode)
        elif self._evaluation.missed:
            self.recorder.event(self.steps, "unread_validation")
        for name, value in means.items():
            self.recorder.found(name, self.steps, value)

    def _look_at_the_end(self) -> None:
        """Look at what a program that stopped at a loss of NaN leaves behind."""
        if not self.steps or self._end_events is not None:
            return
        events: list[tuple[str, str]] = []
        with self.guard.unseen("last pass"):
            loss = self._last_pass.loss()
            if loss is not None and not math.isfinite(loss):
                events.append(("nonfinite_loss", f"{loss:g}"))
            elif loss is None and self._last_pass.unfinished:
                events.append(("unfinished_pass", ""))
        with self.guard.unseen("last weights"):
            events += [("nonfinite_parameter", name) for name in nonfinite(self._book.parameters())]
        self._end_events = events

    def _record_the_end(self) -> None:
        for kind, detail in self._end_events or ():
            self.recorder.event(self.steps, kind, detail)

    def facts(self) -> dict[str, Any]:
        """Return the measured parts of the run; reads what is still on the device."""
        self.guard.surely("recording", self.on_full_tracing)
        return run_fields(self._sources, self.guard, self.steps)
