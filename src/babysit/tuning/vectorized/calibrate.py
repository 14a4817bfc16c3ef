"""Calibration: chooses the fastest correct backend, measured on the members themselves against eager PyTorch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import torch

from babysit.tuning.vectorized.autotune import Candidate, Candidates
from babysit.tuning.vectorized.backends import ONE_BY_ONE, PLAIN, SHARED_INPUT, SIDE_BY_SIDE, Backend, Step
from babysit.tuning.vectorized.benchmark_set import BenchmarkSet
from babysit.tuning.vectorized.compiling import true_float32
from babysit.tuning.vectorized.state import bytes_each

# bfloat16 changes results, so it is used only for a real gain.
_BF16_GAIN: Final = 1.2
# Eager PyTorch is used if it is faster than the best backend by more than the timing error (measured: 2 to 3 %).
_PLAIN_LEAD: Final = 1.05
# Compiling took 2 to 10 s of CPU time and saves half or more of the remaining time; below this it does not pay off.
COMPILE_PAYS_SECONDS: Final = 20.0
# With this many times the work, the winner is compiled at the other width as well.
_MUCH_TIMES: Final = 5
# Fraction of the expected time that may be spent on compiling. The fastest backend is compiled first and brings nearly
# all of the gain (measured on a search of 80,000 steps: 14 s of calibration of 60 s in total with a fraction of 0.2).
_COMPILE_SHARE: Final = 0.05
# Backends this much slower than the best one before compiling are not compiled: none caught up (measured on MLPs,
# CNNs).
_HOPELESS: Final = 2.0
# A wider backend is compiled instead of a narrower one if it is at most this much slower uncompiled: cache misses cost
# less once the update is one pass (3072-50-10: 8 wide is 1.17 times slower than 4 before, 1.14 times faster
# afterwards).
_ALIKE: Final = 1.3
# A chunk's weights, gradients and moments should fit in the cache: with 154,000 weights each (1.8 MB), 4 and 8 members
# were fastest, with 2,400 weights 64. This width and a quarter of it are timed.
_CACHE_BYTES: Final = 16_000_000
NARROWEST, WIDEST = 4, 64


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The chosen backend, and all candidates."""

    backend: Backend
    step: Step
    plain_seconds: float  # per step in eager PyTorch
    single_seconds: float  # per step of a single member, uncompiled
    tried: tuple[Candidate, ...]

    @property
    def seconds(self) -> float:
        """Return the seconds per step and member."""
        return min(tried.seconds for tried in self.tried if tried.backend == self.backend)


class NoBackendError(Exception):
    """No backend matches eager PyTorch; the message says why."""


def only(backend: Backend, bench: BenchmarkSet) -> Choice:
    """Use the requested backend. Raises NoBackendError if it cannot be used."""
    candidates = Candidates(bench)
    for one in dict.fromkeys((PLAIN, backend)):
        candidates.attempt(one)
    if refused := [f"{one.backend}: {one.reason}" for one in candidates.tried if one.reason]:
        raise NoBackendError("; ".join(refused))
    return _choice(candidates, backend, bench)


def choose(bench: BenchmarkSet, *, count: int, steps: int, precision: str) -> Choice:
    """Try the backends and choose the fastest correct one.

    Args:
        bench: members and batches to try them on.
        count: number of members trained together.
        steps: expected number of steps over all members; decides whether compiling pays off.
        precision: 32; auto, bfloat16 where accurate and faster; or bf16, where accurate.

    Raises:
        NoBackendError: not even a single member matches eager PyTorch.
    """
    candidates = Candidates(bench)
    eager = _try_eager(candidates, _eager_backends(bench, count))
    ahead = steps * eager[0].seconds
    pays = ahead > COMPILE_PAYS_SECONDS
    deadline = time.monotonic() + _COMPILE_SHARE * ahead
    for backend in _worth_compiling(eager) if pays else []:
        if time.monotonic() < deadline:
            candidates.attempt(replace(backend, compiled=True))
    for backend in _other_matmul(candidates.usable, compiled=pays):
        candidates.attempt(backend, candidates.ready[replace(backend, matmul="")])
    for backend in _half_precision(candidates.usable, precision, compiled=pays):
        candidates.attempt(backend)
    if ahead > _MUCH_TIMES * COMPILE_PAYS_SECONDS and time.monotonic() < deadline:
        backend = _fastest(candidates.usable, precision)
        widths = {other.backend.width for other in eager if other.backend.strategy == backend.strategy}
        for width in widths - {backend.width}:
            candidates.attempt(replace(backend, width=width))
    slower = {other.backend for other in eager[1:]}
    candidates.retime(backend for backend in candidates.ready if backend not in slower)
    backend = _fastest(candidates.usable, precision)
    choice = _choice(candidates, backend, bench)
    if choice.plain_seconds * _PLAIN_LEAD < candidates.usable[0].seconds:
        reasons = [f"no backend is faster for {count} of them", *refusals(candidates.tried)]
        raise NoBackendError("; ".join(reasons))
    return choice


def _try_eager(candidates: Candidates, backends: Sequence[Backend]) -> list[Candidate]:
    """Return the usable uncompiled backends, fastest first."""
    for backend in backends:
        candidates.attempt(backend)
        if PLAIN not in candidates.ready:
            # If the plain one differs from eager PyTorch, no other can be trusted.
            break
    candidates.retime(candidates.ready)
    if PLAIN not in candidates.ready:
        raise NoBackendError("; ".join(refusals(candidates.tried)))
    return candidates.usable


def _choice(candidates: Candidates, backend: Backend, bench: BenchmarkSet) -> Choice:
    by_backend = {one.backend: one.seconds for one in candidates.tried}
    return Choice(
        backend=backend,
        step=candidates.ready[backend],
        plain_seconds=min(measure.seconds for measure in bench.measures),
        single_seconds=by_backend[PLAIN],
        tried=tuple(candidates.tried),
    )


def refusals(tried: Sequence[Candidate]) -> list[str]:
    """List why strategies cannot be used, each reason once."""
    usable = {(one.backend.strategy, one.backend.compiled) for one in tried if not one.reason}
    reasons: dict[str, str] = {}
    for backend, _, reason in tried:
        if reason and (backend.strategy, backend.compiled) not in usable:
            reasons.setdefault(reason, f"not {backend.strategy}{' compiled' if backend.compiled else ''}: {reason}")
    return list(reasons.values())


def _eager_backends(bench: BenchmarkSet, count: int) -> list[Backend]:
    backends = [PLAIN]
    # Measured on a CNN of two 3x3 convolutions (AMD Zen 4): 1.5 times as fast, in bfloat16 1.9 times.
    if any(tensor.dim() == 4 for tensor in bench.members[0].parameters.values()):
        backends.append(Backend(strategy=ONE_BY_ONE, width=1, channels_last=True))
    if count > 1:
        fitting = max(NARROWEST, min(WIDEST, _CACHE_BYTES // bytes_each(bench.members[0])))
        wide = 1 << (min(fitting, max(count, NARROWEST)).bit_length() - 1)
        strategies = [SIDE_BY_SIDE, *([SHARED_INPUT] if bench.plan.traits.first_dense else [])]
        widths = sorted({wide, max(NARROWEST, wide // 4)})
        backends += [Backend(strategy=strategy, width=width) for strategy in strategies for width in widths]
    return backends


def _worth_compiling(eager: Sequence[Candidate]) -> list[Backend]:
    """Return the widest good width of each strategy that is not hopeless, most promising first.

    That is the shared input, if available, which gains most from compiling (3072-50-10, all about equally fast before:
    afterwards 1.4 times as fast as side by side and 1.5 times as one by one).
    """
    by_strategy: dict[str, Candidate] = {}
    for result in eager:  # fastest first
        known = by_strategy.setdefault(result.backend.strategy, result)
        if result.backend.width > known.backend.width and result.seconds < _ALIKE * known.seconds:
            by_strategy[result.backend.strategy] = result
    hopeful = [result for result in by_strategy.values() if result.seconds < _HOPELESS * eager[0].seconds]
    hopeful.sort(key=lambda result: (result.backend.strategy != SHARED_INPUT, result.seconds))
    return [result.backend for result in hopeful]


def _half_precision(usable: Sequence[Candidate], precision: str, *, compiled: bool) -> list[Backend]:
    """Return bfloat16 variants of the fastest backends that have one.

    With channels last also the uncompiled one: which of the two is faster depends on the network (AMD Zen 4, two 3x3
    convolutions: 1.8 and 1.7 times eager PyTorch; without gathering and updating, up to 2.7).
    """
    if precision == "32":
        return []
    backends = [result.backend for result in usable if result.backend.strategy in {SHARED_INPUT, ONE_BY_ONE}]
    wanted = [backend for backend in backends if backend.compiled == compiled][:1]
    wanted += [backend for backend in backends if backend.channels_last and not backend.compiled][:1]
    return [replace(backend, bf16=True, matmul="") for backend in dict.fromkeys(wanted)]


def _other_matmul(usable: Sequence[Candidate], *, compiled: bool) -> list[Backend]:
    """Return the shared product in float32 under the other matmul precision, where that stays true float32.

    On CPUs without bfloat16 matrix units the setting only selects another library: measured 2.2 times as fast on an AMD
    Zen 5, 1.2 times on a Zen 4, with errors of 6e-7 to 1e-6.
    """
    backends = [
        one.backend for one in usable if one.backend.strategy == SHARED_INPUT and one.backend.compiled == compiled
    ]
    if torch.get_float32_matmul_precision() != "highest" or not true_float32("medium"):
        return []
    return [replace(backend, matmul="medium") for backend in backends[:1]]


def _fastest(usable: Sequence[Candidate], precision: str) -> Backend:
    exact = next(result for result in usable if not result.backend.bf16)
    half = next((result for result in usable if result.backend.bf16), None)
    wanted = half is not None and (precision == "bf16" or half.seconds * _BF16_GAIN < exact.seconds)
    return half.backend if half is not None and wanted else exact.backend
