"""Which form is the fastest that is right: tried on the members themselves, against plain PyTorch."""

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
# A wider form is compiled rather than a narrower one if it is at most this much slower uncompiled: the cache costs less
# once the update is one pass (3072-50-10: 8 wide is 1.17 times slower than 4 before, 1.14 times faster afterwards).
_ALIKE: Final = 1.3
# A chunk's weights, gradients and moments should stay in the cache: at 154,000 weights each (1.8 MB), 4 and 8 members
# were the fastest, at 2,400 weights 64. This width and a quarter of it are timed.
_CACHE_BYTES: Final = 16_000_000
NARROWEST, WIDEST = 4, 64


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The form to train with, and what was tried."""

    form: Backend
    step: Step
    plain_seconds: float  # of a step of plain PyTorch
    single_seconds: float  # of a step of one member by itself, not compiled
    tried: tuple[Candidate, ...]

    @property
    def seconds(self) -> float:
        """Of a step of one member."""
        return min(tried.seconds for tried in self.tried if tried.form == self.form)


class NoBackendError(Exception):
    """No form gives what plain PyTorch gives; the text says why."""


def only(form: Backend, bench: BenchmarkSet) -> Choice:
    """The form that was asked for; NothingWorksError when it cannot be used."""
    trials = Candidates(bench)
    for one in dict.fromkeys((PLAIN, form)):
        trials.attempt(one)
    if refused := [f"{one.form}: {one.reason}" for one in trials.tried if one.reason]:
        raise NoBackendError("; ".join(refused))
    return _choice(trials, form, bench)


def choose(bench: BenchmarkSet, *, count: int, steps: int, precision: str) -> Choice:
    """Tries the forms and takes the fastest that is right.

    Args:
        bench: where to try them.
        count: how many members there are at once.
        steps: how many steps of a member lie ahead, of all members together: whether compiling pays.
        precision: 32; auto, bfloat16 where it is right and faster; or bf16, where it is right.

    Raises:
        NothingWorksError: not even one member by itself gives what plain PyTorch gives.
    """
    trials = Candidates(bench)
    eager = _tried_eagerly(trials, _eager_forms(bench, count))
    ahead = steps * eager[0].seconds
    pays = ahead > COMPILE_PAYS_SECONDS
    deadline = time.monotonic() + _COMPILE_SHARE * ahead
    for form in _worth_compiling(eager) if pays else []:
        if time.monotonic() < deadline:
            trials.attempt(replace(form, compiled=True))
    for form in _other_matmul(trials.usable, compiled=pays):
        trials.attempt(form, trials.ready[replace(form, matmul="")])
    for form in _half_precision(trials.usable, precision, compiled=pays):
        trials.attempt(form)
    if ahead > _MUCH_TIMES * COMPILE_PAYS_SECONDS and time.monotonic() < deadline:
        form = _fastest(trials.usable, precision)
        widths = {other.form.width for other in eager if other.form.way == form.way}
        for width in widths - {form.width}:
            trials.attempt(replace(form, width=width))
    trials.in_turns(form for form in trials.ready if form not in {slower.form for slower in eager[1:]})
    form = _fastest(trials.usable, precision)
    choice = _choice(trials, form, bench)
    if choice.plain_seconds * _PLAIN_LEAD < trials.usable[0].seconds:
        reasons = [f"no other way is faster for {count} of them", *refusals(trials.tried)]
        raise NoBackendError("; ".join(reasons))
    return choice


def _tried_eagerly(trials: Candidates, forms: Sequence[Backend]) -> list[Candidate]:
    """What can be used of the uncompiled forms; the fastest first."""
    for form in forms:
        trials.attempt(form)
        if PLAIN not in trials.ready:
            # The first, which does nothing special: where it differs from plain PyTorch no other can be trusted.
            break
    trials.in_turns(trials.ready)
    if PLAIN not in trials.ready:
        raise NoBackendError("; ".join(refusals(trials.tried)))
    return trials.usable


def _choice(trials: Candidates, form: Backend, bench: BenchmarkSet) -> Choice:
    by_form = {one.form: one.seconds for one in trials.tried}
    return Choice(
        form=form,
        step=trials.ready[form],
        plain_seconds=min(measure.seconds for measure in bench.measures),
        single_seconds=by_form[PLAIN],
        tried=tuple(trials.tried),
    )


def refusals(tried: Sequence[Candidate]) -> list[str]:
    """What stands against the ways that cannot be taken, each reason once."""
    usable = {(one.form.way, one.form.compiled) for one in tried if not one.reason}
    told: dict[str, str] = {}
    for form, _, reason in tried:
        if reason and (form.way, form.compiled) not in usable:
            told.setdefault(reason, f"not {form.way}{' compiled' if form.compiled else ''}: {reason}")
    return list(told.values())


def _eager_forms(bench: BenchmarkSet, count: int) -> list[Backend]:
    forms = [PLAIN]
    # Measured on a CNN of two 3x3 convolutions (AMD Zen 4): 1.5 times as fast, in bfloat16 1.9 times.
    if any(tensor.dim() == 4 for tensor in bench.members[0].parameters.values()):
        forms.append(Backend(way=ONE_BY_ONE, width=1, channels_last=True))
    if count > 1:
        fitting = max(NARROWEST, min(WIDEST, _CACHE_BYTES // bytes_each(bench.members[0])))
        wide = 1 << (min(fitting, max(count, NARROWEST)).bit_length() - 1)
        ways = [SIDE_BY_SIDE, *([SHARED_INPUT] if bench.plan.traits.first_dense else [])]
        forms += [Backend(way=way, width=width) for way in ways for width in sorted({wide, max(NARROWEST, wide // 4)})]
    return forms


def _worth_compiling(eager: Sequence[Candidate]) -> list[Backend]:
    """The widest good width of each way, when the way is not hopeless; the most promising first.

    That is the shared input, where there is one: of all ways it gains most from compiling (3072-50-10, all about as
    fast before: afterwards 1.4 times as fast as side by side and 1.5 times as one by one).
    """
    by_way: dict[str, Candidate] = {}
    for result in eager:  # the fastest first
        known = by_way.setdefault(result.form.way, result)
        if result.form.width > known.form.width and result.seconds < _ALIKE * known.seconds:
            by_way[result.form.way] = result
    hopeful = [result for result in by_way.values() if result.seconds < _HOPELESS * eager[0].seconds]
    hopeful.sort(key=lambda result: (result.form.way != SHARED_INPUT, result.seconds))
    return [result.form for result in hopeful]


def _half_precision(usable: Sequence[Candidate], precision: str, *, compiled: bool) -> list[Backend]:
    """bfloat16 variants of the fastest forms that have one.

    With the channels last the uncompiled one as well: which of the two is faster depends on the network (AMD Zen 4, two
    3x3 convolutions: 1.8 and 1.7 times plain PyTorch; by itself, without gathering and updating, up to 2.7).
    """
    if precision == "32":
        return []
    forms = [result.form for result in usable if result.form.way in {SHARED_INPUT, ONE_BY_ONE}]
    wanted = [form for form in forms if form.compiled == compiled][:1]
    wanted += [form for form in forms if form.channels_last and not form.compiled][:1]
    return [replace(form, bf16=True, matmul="") for form in dict.fromkeys(wanted)]


def _other_matmul(usable: Sequence[Candidate], *, compiled: bool) -> list[Backend]:
    """The shared product in float32 under the other matmul precision, where that stays true float32.

    On processors without bfloat16 matrix units the setting only takes another library: measured 2.2 times as fast on
    an AMD Zen 5, 1.2 times on a Zen 4, with errors of 6e-7 to 1e-6.
    """
    forms = [one.form for one in usable if one.form.way == SHARED_INPUT and one.form.compiled == compiled]
    if torch.get_float32_matmul_precision() != "highest" or not true_float32("medium"):
        return []
    return [replace(form, matmul="medium") for form in forms[:1]]


def _fastest(usable: Sequence[Candidate], precision: str) -> Backend:
    exact = next(result for result in usable if not result.form.bf16)
    half = next((result for result in usable if result.form.bf16), None)
    wanted = half is not None and (precision == "bf16" or half.seconds * _BF16_GAIN < exact.seconds)
    return half.form if half is not None and wanted else exact.form
