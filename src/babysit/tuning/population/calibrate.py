"""Which form is the fastest that is right: tried on the members themselves, against plain PyTorch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, final

import torch

from babysit.tuning.population.beginning import clock
from babysit.tuning.population.bench import COMPARED_MEMBERS, Bench
from babysit.tuning.population.compiling import compiled_step, matmul_precision, true_float32
from babysit.tuning.population.examine import culprit, first_line
from babysit.tuning.population.forms import (
    ONE_BY_ONE,
    SHARED_INPUT,
    SIDE_BY_SIDE,
    Form,
    Step,
    reads_half,
    step_of,
)
from babysit.tuning.population.gradients import gradient_difference
from babysit.tuning.population.member_state import bytes_each

# Two programs that are both right differ by rounding: 20 times what a disturbance by one rounding does, and no less
# than 1e-4. Measured on MLPs and a CNN: right ones differ by up to 2e-6; a forgotten decay or bias correction by 1e-2.
_FLOOR: Final = 1e-4
_ROUNDINGS: Final = 20
# Costs in bfloat16 may differ by this: measured 5e-4 after 30 steps of an MLP.
_BF16_TOLERANCE: Final = 2e-2
# bfloat16 changes results, so it must be worth it.
_BF16_GAIN: Final = 1.2
# Plain PyTorch is taken when it is faster than the best form by more than timing errs (measured: 2 to 3 %).
_PLAIN_LEAD: Final = 1.05
# Compiling took 2 to 10 s of processor time and saves half or more of what is left; below this it does not pay.
COMPILE_PAYS_SECONDS: Final = 20.0
# With so many times the work, the winner is compiled at the other width as well.
_MUCH_TIMES: Final = 5
# Of the time that lies ahead: what was not begun by then is left. The fastest is compiled first and brings nearly all
# of the gain (measured on a search of 80,000 steps: 14 s of calibration with 0.2, of 60 in all).
_COMPILE_SHARE: Final = 0.05
# Uncompiled forms this much slower than the best one are not compiled: none of them caught up (measured on MLPs, CNNs).
_HOPELESS: Final = 2.0
# A chunk's weights, gradients and moments should stay in the cache: at 154,000 weights each (1.8 MB), 4 and 8 members
# were the fastest, at 2,400 weights 64. This width and a quarter of it are timed.
_CACHE_BYTES: Final = 16_000_000
NARROWEST, WIDEST = 4, 64
# A form is timed until its fastest step has been seen in so many seconds.
_TIMED_SECONDS: Final = 0.12


class Tried(NamedTuple):
    """What came of a form."""

    form: Form
    seconds: float  # of a step of one member; infinite when it cannot be used
    reason: str = ""  # why it cannot be used


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The form to train with, and what was tried."""

    form: Form
    step: Step
    plain_seconds: float  # of a step of plain PyTorch
    single_seconds: float  # of a step of one member by itself, not compiled
    tried: tuple[Tried, ...]

    @property
    def seconds(self) -> float:
        """Of a step of one member."""
        return min(tried.seconds for tried in self.tried if tried.form == self.form)


class NothingWorksError(Exception):
    """No form gives what plain PyTorch gives; the text says why."""


def only(form: Form, bench: Bench) -> Choice:
    """The form that was asked for; NothingWorksError when it cannot be used."""
    single, _ = attempted(Form(way=ONE_BY_ONE, width=1), bench)
    result, step = attempted(form, bench)
    if step is None:
        raise NothingWorksError(f"{form}: {result.reason}")
    plain = min(measure.seconds for measure in bench.measures)
    return Choice(form=form, step=step, plain_seconds=plain, single_seconds=single.seconds, tried=(result,))


def choose(bench: Bench, *, count: int, steps: int, precision: str) -> Choice:
    """Tries the forms and takes the fastest that is right.

    Args:
        bench: where to try them.
        count: how many members there are at once.
        steps: how many steps of a member lie ahead, of all members together: whether compiling pays.
        precision: 32; auto, bfloat16 where it is right and faster; or bf16, where it is right.

    Raises:
        NothingWorksError: not even one member by itself gives what plain PyTorch gives.
    """
    plain = min(measure.seconds for measure in bench.measures)
    trials = _Trials(bench)
    eager_forms = _eager_forms(bench, count)
    eager = [trials.attempt(form) for form in eager_forms]
    best = min(result.seconds for result in eager)
    if best == math.inf:
        raise NothingWorksError("; ".join(refusals(eager)))
    ahead = steps * best
    pays = ahead > COMPILE_PAYS_SECONDS
    deadline = time.monotonic() + _COMPILE_SHARE * ahead
    for result in _widest_first(eager, best) if pays else []:
        if time.monotonic() < deadline:
            trials.attempt(replace(result.form, compiled=True))
    for form in _other_matmul(trials.tried, compiled=pays):
        trials.attempt(form, trials.ready[replace(form, matmul="")])
    for form in _half_precision(trials.tried, precision, compiled=pays):
        trials.attempt(form)
    if ahead > _MUCH_TIMES * COMPILE_PAYS_SECONDS and time.monotonic() < deadline:
        form = _fastest(trials.tried, precision)
        for width in {other.width for other in eager_forms if other.way == form.way} - {form.width}:
            trials.attempt(replace(form, width=width))
    form = _fastest(trials.tried, precision)
    if plain * _PLAIN_LEAD < min(result.seconds for result in trials.tried):
        reasons = [f"no other way is faster for {count} of them", *refusals(trials.tried)]
        raise NothingWorksError("; ".join(reasons))
    single = next(result.seconds for result in eager if result.form.way == ONE_BY_ONE)
    step, tried = trials.ready[form], tuple(trials.tried)
    return Choice(form=form, step=step, plain_seconds=plain, single_seconds=single, tried=tried)


@final
class _Trials:
    """What was tried so far, and the steps that can be used."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.tried: list[Tried] = []
        self.ready: dict[Form, Step] = {}

    def attempt(self, form: Form, made: Step | None = None) -> Tried:
        """Tries one form, with the step that was `made` for it already or a new one."""
        result, step = attempted(form, self._bench, made)
        self.tried.append(result)
        if step is not None:
            self.ready[form] = step
        return result


def refusals(tried: Sequence[Tried]) -> list[str]:
    """What stands against the ways that cannot be taken, each reason once."""
    usable = {(one.form.way, one.form.compiled) for one in tried if not one.reason}
    told: dict[str, str] = {}
    for form, _, reason in tried:
        if reason and (form.way, form.compiled) not in usable:
            told.setdefault(reason, f"not {form.way}{' compiled' if form.compiled else ''}: {reason}")
    return list(told.values())


def _eager_forms(bench: Bench, count: int) -> list[Form]:
    forms = [Form(way=ONE_BY_ONE, width=1)]
    # Measured on a CNN of two 3x3 convolutions (AMD Zen 4): 1.5 times as fast, in bfloat16 1.9 times.
    if any(tensor.dim() == 4 for tensor in bench.members[0].parameters.values()):
        forms.append(Form(way=ONE_BY_ONE, width=1, channels_last=True))
    if count > 1:
        fitting = max(NARROWEST, min(WIDEST, _CACHE_BYTES // bytes_each(bench.members[0])))
        wide = 1 << (min(fitting, max(count, NARROWEST)).bit_length() - 1)
        ways = [SIDE_BY_SIDE, *([SHARED_INPUT] if bench.plan.traits.first_dense else [])]
        forms += [Form(way=way, width=width) for way in ways for width in sorted({wide, max(NARROWEST, wide // 4)})]
    return forms


def _widest_first(eager: Sequence[Tried], best: float) -> list[Tried]:
    """The best width of each way, when the way is not hopeless; the fastest first."""
    by_way: dict[str, Tried] = {}
    for result in eager:
        if result.seconds < by_way.get(result.form.way, Tried(result.form, math.inf)).seconds:
            by_way[result.form.way] = result
    hopeful = [result for result in by_way.values() if result.seconds < _HOPELESS * best]
    return sorted(hopeful, key=lambda result: result.seconds)


def _half_precision(tried: Sequence[Tried], precision: str, *, compiled: bool) -> list[Form]:
    """bfloat16 variants of the fastest forms that have one.

    With the channels last the uncompiled one as well: which of the two is faster depends on the network (AMD Zen 4, two
    3x3 convolutions: 1.8 and 1.7 times plain PyTorch; by itself, without gathering and updating, up to 2.7).
    """
    if precision == "32":
        return []
    forms = [
        result.form
        for result in sorted(tried, key=lambda result: result.seconds)
        if result.form.way in {SHARED_INPUT, ONE_BY_ONE} and not result.reason
    ]
    wanted = [form for form in forms if form.compiled == compiled][:1]
    wanted += [form for form in forms if form.channels_last and not form.compiled][:1]
    return [replace(form, bf16=True, matmul="") for form in dict.fromkeys(wanted)]


def _other_matmul(tried: Sequence[Tried], *, compiled: bool) -> list[Form]:
    """The shared product in float32 under the other matmul precision, where that stays true float32.

    On processors without bfloat16 matrix units the setting only takes another library: measured 2.2 times as fast on
    an AMD Zen 5, 1.2 times on a Zen 4, with errors of 6e-7 to 1e-6.
    """
    forms = [
        result.form
        for result in sorted(tried, key=lambda result: result.seconds)
        if result.form.way == SHARED_INPUT and result.form.compiled == compiled and not result.reason
    ]
    if torch.get_float32_matmul_precision() != "highest" or not true_float32("medium"):
        return []
    return [replace(form, matmul="medium") for form in forms[:1]]


def _fastest(tried: Sequence[Tried], precision: str) -> Form:
    usable = [result for result in tried if not result.reason]
    exact = min((result for result in usable if not result.form.bf16), key=lambda result: result.seconds)
    half = min((result for result in usable if result.form.bf16), key=lambda result: result.seconds, default=None)
    wanted = half is not None and (precision == "bf16" or half.seconds * _BF16_GAIN < exact.seconds)
    return half.form if half is not None and wanted else exact.form


def attempted(form: Form, bench: Bench, made: Step | None = None) -> tuple[Tried, Step | None]:
    """Makes a form ready, compares it with plain PyTorch and times it; None when it cannot be used."""
    try:
        stack, batches = bench.inputs(form)
        first = next(batches)
        if made is not None:
            step = made
        else:
            step = compiled_step(form, bench.plan, stack, first) if form.compiled else step_of(form, bench.plan)
        with torch.no_grad(), matmul_precision(form.matmul):
            rows = [step(stack, first).tolist()] + [step(stack, batch).tolist() for batch in batches]
        reason = _difference(rows, form, bench) or gradient_difference(step, form, bench)
        if not reason:
            return _timed(form, step, bench), step
    except Exception as problem:  # the user's model may hold anything, and so may the compiler
        told = culprit(problem, bench.plan.template) if not form.compiled else first_line(problem)
        return Tried(form, math.inf, told), None
    return Tried(form, math.inf, reason), None


def _difference(rows: list[list[float]], form: Form, bench: Bench) -> str:
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


def _timed(form: Form, step: Step, bench: Bench) -> Tried:
    """The fastest of several steps, a member, with the gathering of each batch, which a chunk does once."""
    stack, batches = bench.inputs(form)
    batch = next(batches)
    coming = bench.coming(half=reads_half(form, bench.plan))
    fastest, spent = math.inf, 0.0
    with torch.no_grad(), matmul_precision(form.matmul):
        step(stack, batch)
        next(coming)  # the first also shuffles
        for _ in range(200):
            began = clock(bench.shared.device)
            x, y = next(coming)
            step(stack, batch._replace(x=x, y=y))
            took = clock(bench.shared.device) - began
            fastest, spent = min(fastest, took), spent + took
            if spent > _TIMED_SECONDS:
                break
    return Tried(form, fastest / form.width)
