"""Members that differ only in numeric hyperparameters: chooses their backend and trains them epoch by epoch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from torch import Tensor

from babysit.data.batches import batch_bounds
from babysit.records.errors import UserError
from babysit.tuning.vectorized.backends import PLAIN, Backend, Plan, reads_half, train_step_of
from babysit.tuning.vectorized.benchmark_set import BenchmarkSet, benchmark_set_of, same_function
from babysit.tuning.vectorized.calibrate import (
    COMPILE_PAYS_SECONDS,
    Choice,
    NoBackendError,
    choose,
    only,
    refusals,
)
from babysit.tuning.vectorized.chunk import FOR_PLAIN, Outcome, Runner, run_epoch
from babysit.tuning.vectorized.dropout_masks import need_own
from babysit.tuning.vectorized.eligibility import ModelTraits, error_location, first_line
from babysit.tuning.vectorized.init import SharedSettings, build, to_state
from babysit.tuning.vectorized.state import MemberState


@final
@dataclass(frozen=True, kw_only=True)
class _Refused:
    """The group must be trained in eager PyTorch: the reason, and the number of steps expected when it was found."""

    reason: str
    work: int


# Compiled programs and measurements, shared by executors of the same models; the oldest are evicted.
_KNOWN: OrderedDict[tuple[object, ...], Choice | _Refused] = OrderedDict()
_KEPT_CHOICES: Final = 16
# If eager PyTorch was fastest, calibrate again when this many times the work is expected: compiling may pay off then.
_MUCH_MORE: Final = 4


class EpochResult(NamedTuple):
    """The result of an epoch of a chunk."""

    members: Sequence[MemberState]
    outcome: Outcome
    backend: Backend


@final
@dataclass(kw_only=True, eq=False)
class Group:
    """Trains the members of one signature."""

    traits: ModelTraits
    fixed: dict[str, Tensor]  # tensors shared by all members
    shared: SharedSettings
    signature: str
    backend: Backend | None  # requested by the caller
    notes: list[str]
    choice: Choice | None = None
    _plan: Plan | None = None
    _work: int = 0  # steps requested so far, over all members
    _most: int = 0  # members at once
    _stepped_down: Backend | None = None  # replacement of a backend that failed

    def ready(self, members: Sequence[MemberState], epochs: int) -> bool:
        """Choose the backend; return False if eager PyTorch must be used."""
        first = members[0]
        self._most = max(self._most, len(members))
        bounds = batch_bounds(len(self.shared.train), first.hyperparameters.batch_size)
        self._work = max(self._work + len(members) * epochs * len(bounds), self.shared.workload.steps)
        own_noise = need_own(members) or (self._plan is not None and self._plan.own_noise)
        if self._plan is None or own_noise != self._plan.own_noise:
            self._plan = Plan(
                traits=self.traits, hyperparameters=first.hyperparameters, loss=self.shared.loss, own_noise=own_noise
            )
            self.choice = None
        if self.choice is None or self._should_recalibrate(self.choice):
            if self._not_worth_trying(members):
                return False
            try:
                self.choice = self._chosen(members)
            except NoBackendError as problem:
                # Members in training stay with the backend that has their state.
                if self.choice is not None or first.step > 0:
                    self._stepped_down = self._stepped_down or (PLAIN if self.choice is None else None)
                    return True
                self._note(f"trained one by one in plain PyTorch: {problem}")
                return False
            finally:  # bfloat16 may have been tried, but not chosen
                if not reads_half(self._backend, self.plan):
                    self.shared.drop_half()
        return True

    def epoch(self, members: Sequence[MemberState]) -> Iterator[EpochResult]:
        """Train members of the same seed and epoch for an epoch, chunk by chunk."""
        for chunk in self._chunks(members):
            yield from self._run(chunk)

    @property
    def plan(self) -> Plan:
        """Return the settings shared by the backends."""
        assert self._plan is not None
        return self._plan

    def _not_worth_trying(self, members: Sequence[MemberState]) -> bool:
        """Check for a single member with little work; a step costs about three forward passes."""
        first = members[0]
        alone = self._most == 1 and first.step == 0 and self.backend is None and self.choice is None
        return alone and self._work * 3 * first.forward_seconds < COMPILE_PAYS_SECONDS

    def _should_recalibrate(self, choice: Choice) -> bool:
        """Check whether there are several members now, or so much work that compiling pays off."""
        if self.backend is not None or self._stepped_down is not None:
            return False
        lonely = self._most > 1 and not any(tried.backend.width > 1 for tried in choice.tried)
        compiled = any(tried.backend.compiled for tried in choice.tried)
        return lonely or (not compiled and self._work * choice.seconds > COMPILE_PAYS_SECONDS)

    def _chosen(self, members: Sequence[MemberState]) -> Choice:
        workload = self.shared.workload
        hyperparameters = members[0].hyperparameters
        key = (
            *(workload.build, self.signature, self.shared.device, workload.precision, self.plan.own_noise),
            *(self.backend, self.shared.train.x.shape[1:], min(hyperparameters.batch_size, len(self.shared.train))),
            *(self.shared.train.task, min(self._most, 64).bit_length()),
        )
        known = _KNOWN.get(key)
        if isinstance(known, _Refused) and self._work < _MUCH_MORE * known.work:
            raise NoBackendError(known.reason)
        if not isinstance(known, Choice) or self._should_recalibrate(known):
            bench = self._benchmark_set(members[:2])
            if self.backend is not None:
                known = only(self.backend, bench)
            else:
                try:
                    known = choose(bench, count=self._most, steps=self._work, precision=workload.precision)
                except NoBackendError as problem:
                    _remember(key, _Refused(reason=str(problem), work=self._work))
                    raise
        _remember(key, known)
        self._report(known)
        return known

    def _benchmark_set(self, members: Sequence[MemberState]) -> BenchmarkSet:
        """Build the benchmark set. Raises NoBackendError if the members cannot be trained in eager PyTorch."""
        try:
            rebuilt = [to_state(build(one.member, self.shared), self.traits, self.shared) for one in members]
            alike = [
                rebuilt[0],
                *(one for one in rebuilt[1:] if same_function(one, self.plan, self.fixed, self.shared)),
            ]
            return benchmark_set_of(self.plan, self.shared, alike, self.fixed)
        except UserError:
            raise
        except Exception as problem:  # user code may raise anything; each member ends alone
            location = error_location(problem, self.plan.template)
            raise NoBackendError(f"no reference results, since plain PyTorch fails: {location}") from problem

    def _chunks(self, members: Sequence[MemberState]) -> Iterator[Sequence[MemberState]]:
        width = self._backend.width
        for start in range(0, len(members), width):
            chunk = members[start : start + width]
            if self._alone_is_faster(len(chunk)):
                yield from ([one] for one in chunk)
            else:
                yield chunk

    def _alone_is_faster(self, count: int) -> bool:
        choice = self.choice
        if choice is None or self.backend is not None or self._stepped_down is not None:
            return False
        return count < choice.backend.width and count * choice.single_seconds < choice.seconds * choice.backend.width

    @property
    def _backend(self) -> Backend:
        return self._stepped_down or (PLAIN if self.choice is None else self.choice.backend)

    def _runner(self, count: int) -> Runner:
        alone = self._backend.width > 1 and count == 1 and self._alone_is_faster(1)
        backend = PLAIN if alone else self._backend
        chosen = self.choice is not None and backend == self.choice.backend
        step = self.choice.step if self.choice is not None and chosen else train_step_of(backend, self.plan)
        return Runner(backend=backend, plan=self.plan, fixed=self.fixed, step=step)

    def _run(self, chunk: Sequence[MemberState]) -> Iterator[EpochResult]:
        if len(chunk) > self._backend.width:  # an earlier chunk ran out of memory
            yield from self.epoch(chunk)
            return
        runner = self._runner(len(chunk))
        try:
            outcome = run_epoch(chunk, runner, self.shared)
        except UserError:
            raise
        except Exception as problem:  # user code and compiled programs may raise anything
            if runner.backend == PLAIN:
                location = f"{FOR_PLAIN}{error_location(problem, self.plan.template)}"
                yield EpochResult(
                    chunk, Outcome(costs=[[] for _ in chunk], stopped=[location] * len(chunk)), runner.backend
                )
                return
            self._step_down(runner.backend, problem)
            yield from self.epoch(chunk)
            return
        yield EpochResult(chunk, outcome, runner.backend)

    def _step_down(self, backend: Backend, problem: Exception) -> None:
        """Halve the width if memory was exhausted; else train one by one, which needs no special support."""
        half = backend.width // 2 if _out_of_memory(problem) else 1
        self._stepped_down = Backend(strategy=backend.strategy, width=half) if half > 1 else PLAIN
        self._note(
            f"continued {self._stepped_down}, since training {backend} failed: {first_line(problem)}; "
            "no results were lost"
        )

    def _report(self, choice: Choice) -> None:
        ratio = choice.plain_seconds / choice.seconds
        text = f"trained {choice.backend}: {ratio:.1f} times as fast as one by one in plain PyTorch"
        self._note("; ".join([text, *refusals(choice.tried)]))

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _remember(key: tuple[object, ...], known: Choice | _Refused) -> None:
    _KNOWN[key] = known
    _KNOWN.move_to_end(key)
    while len(_KNOWN) > _KEPT_CHOICES:
        _KNOWN.popitem(last=False)


def _out_of_memory(problem: Exception) -> bool:
    text = str(problem).lower()
    return isinstance(problem, MemoryError) or any(
        words in text for words in ("out of memory", "not enough memory", "can't allocate memory")
    )
