"""Autotuning: checks whether a backend matches eager PyTorch, and times its step."""

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

# Two correct programs differ by rounding: tolerate 20 times the effect of perturbing the weights by one rounding, at
# least 1e-4. Measured on MLPs and a CNN: correct ones differ by up to 2e-6; a missing decay or bias correction by 1e-2.
_FLOOR: Final = 1e-4
_ROUNDINGS: Final = 20
# Tolerance of losses in bfloat16: measured 5e-4 after 30 steps of an MLP.
_BF16_TOLERANCE: Final = 2e-2
# Each backend is timed in this many rounds, each measuring the fastest step within this many seconds.
_ROUNDS: Final = 3
_TIMED_SECONDS: Final = 0.04


class Candidate(NamedTuple):
    """The result of trying a backend."""

    backend: Backend
    seconds: float  # per step and member; infinite if it cannot be used
    reason: str = ""  # why it cannot be used


@final
class Candidates:
    """The backends tried so far, and the steps of the usable ones."""

    def __init__(self, bench: BenchmarkSet) -> None:
        self._bench = bench
        self._tried: dict[Backend, Candidate] = {}
        self.ready: dict[Backend, Step] = {}

    @property
    def tried(self) -> list[Candidate]:
        """Return all candidates in the order they were tried."""
        return list(self._tried.values())

    @property
    def usable(self) -> list[Candidate]:
        """Return the candidates that match eager PyTorch, fastest first."""
        return sorted((one for one in self._tried.values() if not one.reason), key=lambda one: one.seconds)

    def attempt(self, backend: Backend, made: Step | None = None) -> None:
        """Prepare a backend with the step `made` for it or a new one, then check and time it."""
        self._tried[backend] = Candidate(backend, math.inf)
        with self._refusing(backend):
            step, reason = _compared(backend, self._bench, made)
            if reason:
                self._tried[backend] = Candidate(backend, math.inf, reason)
            else:
                self.ready[backend] = step
                self._time(backend)

    def retime(self, backends: Iterable[Backend]) -> None:
        """Time these backends again in rounds.

        Other load on the machine varies within seconds: a backend timed only once may appear slow.
        """
        for backend in list(backends) * (_ROUNDS - 1):
            if backend in self.ready:
                with self._refusing(backend):
                    self._time(backend)

    def _time(self, backend: Backend) -> None:
        seconds = _seconds(backend, self.ready[backend], self._bench)
        self._tried[backend] = Candidate(backend, min(seconds, self._tried[backend].seconds))

    @contextmanager
    def _refusing(self, backend: Backend) -> Iterator[None]:
        """Record any exception of model code or compiler as the reason why a backend cannot be used."""
        try:
            yield
        except Exception as problem:
            reason = error_location(problem, self._bench.plan.template) if not backend.compiled else first_line(problem)
            self._tried[backend] = Candidate(backend, math.inf, reason)
            self.ready.pop(backend, None)


def _compared(backend: Backend, bench: BenchmarkSet, made: Step | None) -> tuple[Step, str]:
    """Return the step of a backend, and the difference of its results from eager PyTorch, or ""."""
    stack, batches = bench.inputs(backend)
    first = next(batches)
    if made is not None:
        step = made
    else:
        step = (
            compiled_step(backend, bench.plan, stack, first) if backend.compiled else train_step_of(backend, bench.plan)
        )
    with torch.no_grad(), matmul_precision(backend.matmul):
        rows = [step(stack, first).tolist()] + [step(stack, batch).tolist() for batch in batches]
    return step, _difference(rows, backend, bench) or gradient_difference(step, backend, bench)


def _difference(rows: list[list[float]], backend: Backend, bench: BenchmarkSet) -> str:
    """Describe the first loss that differs from eager PyTorch, or return ""."""
    for lane in range(min(backend.width, COMPARED_MEMBERS, len(bench.measures))):
        measure = bench.measures[lane]
        for step, (expected, sensitivity) in enumerate(zip(measure.costs, measure.sensitivity, strict=True)):
            if not math.isfinite(expected) or expected > 3 * measure.costs[0]:
                break  # it diverges, at a rate that depends on rounding
            allowed = max(_BF16_TOLERANCE if backend.bf16 else _FLOOR, _ROUNDINGS * sensitivity)
            found = rows[step][lane]
            if not abs(found - expected) <= allowed * max(abs(expected), 1e-3 * measure.costs[0]):
                return f"loss {found:.6g} at step {step}, but {expected:.6g} in plain PyTorch"
    return ""


def _seconds(backend: Backend, step: Step, bench: BenchmarkSet) -> float:
    """Return the fastest time of a step per member, including gathering its batch, which is done once per chunk."""
    stack, batches = bench.inputs(backend)
    batch = next(batches)
    coming = bench.coming(half=reads_half(backend, bench.plan))
    fastest, spent = math.inf, 0.0
    with torch.no_grad(), matmul_precision(backend.matmul):
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
    return fastest / backend.width
