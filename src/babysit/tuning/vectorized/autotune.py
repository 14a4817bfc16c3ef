"""Tries forms: whether one gives what plain PyTorch gives, and how long its step takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, final

import torch

from babysit.tuning.vectorized.backends import Backend, Step, reads_half, train_step_of
from babysit.tuning.vectorized.benchmark_set import COMPARED_MEMBERS, BenchmarkSet
from babysit.tuning.vectorized.compiling import compiled_step, matmul_precision
from babysit.tuning.vectorized.eligibility import error_location, first_line
from babysit.tuning.vectorized.gradients import gradient_difference
from babysit.tuning.vectorized.init import clock

# Two programs that are both right differ by rounding: 20 times what a disturbance by one rounding does, and no less
# than 1e-4. Measured on MLPs and a CNN: right ones differ by up to 2e-6; a forgotten decay or bias correction by 1e-2.
_FLOOR: Final = 1e-4
_ROUNDINGS: Final = 20
# Costs in bfloat16 may differ by this: measured 5e-4 after 30 steps of an MLP.
_BF16_TOLERANCE: Final = 2e-2
# A form is timed in so many turns, each until its fastest step has been seen in so many seconds.
_TURNS: Final = 3
_TIMED_SECONDS: Final = 0.04


class Candidate(NamedTuple):
    """What came of a form."""

    form: Backend
    seconds: float  # of a step of one member; infinite when it cannot be used
    reason: str = ""  # why it cannot be used


@final
class Candidates:
    """What was tried so far, and the steps that can be used."""

    def __init__(self, bench: BenchmarkSet) -> None:
        self._bench = bench
        self._tried: dict[Backend, Candidate] = {}
        self.ready: dict[Backend, Step] = {}

    @property
    def tried(self) -> list[Candidate]:
        """Everything, in the order in which it was tried."""
        return list(self._tried.values())

    @property
    def usable(self) -> list[Candidate]:
        """What gives what plain PyTorch gives; the fastest first."""
        return sorted((one for one in self._tried.values() if not one.reason), key=lambda one: one.seconds)

    def attempt(self, form: Backend, made: Step | None = None) -> None:
        """Makes a form ready, with the step that was `made` for it already or a new one, and compares and times it."""
        self._tried[form] = Candidate(form, math.inf)
        with self._refusing(form):
            step, reason = _compared(form, self._bench, made)
            if reason:
                self._tried[form] = Candidate(form, math.inf, reason)
            else:
                self.ready[form] = step
                self._time(form)

    def in_turns(self, forms: Iterable[Backend]) -> None:
        """Times these again, one after the other and once more.

        Other work on the machine comes and goes within seconds: a form that is timed once only may be thought slow.
        """
        for form in list(forms) * (_TURNS - 1):
            if form in self.ready:
                with self._refusing(form):
                    self._time(form)

    def _time(self, form: Backend) -> None:
        seconds = _seconds(form, self.ready[form], self._bench)
        self._tried[form] = Candidate(form, min(seconds, self._tried[form].seconds))

    @contextmanager
    def _refusing(self, form: Backend) -> Iterator[None]:
        """The user's model may hold anything, and so may the compiler."""
        try:
            yield
        except Exception as problem:
            told = error_location(problem, self._bench.plan.template) if not form.compiled else first_line(problem)
            self._tried[form] = Candidate(form, math.inf, told)
            self.ready.pop(form, None)


def _compared(form: Backend, bench: BenchmarkSet, made: Step | None) -> tuple[Step, str]:
    """The step of a form, and where its results are not those of plain PyTorch, or ""."""
    stack, batches = bench.inputs(form)
    first = next(batches)
    if made is not None:
        step = made
    else:
        step = compiled_step(form, bench.plan, stack, first) if form.compiled else train_step_of(form, bench.plan)
    with torch.no_grad(), matmul_precision(form.matmul):
        rows = [step(stack, first).tolist()] + [step(stack, batch).tolist() for batch in batches]
    return step, _difference(rows, form, bench) or gradient_difference(step, form, bench)


def _difference(rows: list[list[float]], form: Backend, bench: BenchmarkSet) -> str:
    """Where the costs are not those of plain PyTorch, or ""."""
    for lane in range(min(form.width, COMPARED_MEMBERS, len(bench.measures))):
        measure = bench.measures[lane]
        for step, (expected, spread) in enumerate(zip(measure.costs, measure.spread, strict=True)):
            if not math.isfinite(expected) or expected > 3 * measure.costs[0]:
                break  # it diverges, and rounding decides how fast
            allowed = max(_BF16_TOLERANCE if form.bf16 else _FLOOR, _ROUNDINGS * spread)
            found = rows[step][lane]
            if not abs(found - expected) <= allowed * max(abs(expected), 1e-3 * measure.costs[0]):
                return f"cost {found:.6g} at step {step} where plain PyTorch gives {expected:.6g}"
    return ""


def _seconds(form: Backend, step: Step, bench: BenchmarkSet) -> float:
    """The fastest of several steps, a member, with the gathering of each batch, which a chunk does once."""
    stack, batches = bench.inputs(form)
    batch = next(batches)
    coming = bench.coming(half=reads_half(form, bench.plan))
    fastest, spent = math.inf, 0.0
    with torch.no_grad(), matmul_precision(form.matmul):
        step(stack, batch)
        next(coming)  # the first also shuffles
        for _ in range(100):
            began = clock(bench.shared.device)
            x, y = next(coming)
            step(stack, batch._replace(x=x, y=y))
            took = clock(bench.shared.device) - began
            fastest, spent = min(fastest, took), spent + took
            if spent > _TIMED_SECONDS:
                break
    return fastest / form.width
