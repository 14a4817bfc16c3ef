"""Judge a run while it trains: on a thread of its own, within the budget; findings can be resolved again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, final

import msgspec

from babysit.monitor.recorder import RunWriter
from babysit.records.finding import Finding, Severity
from babysit.records.run import Run

# The first look falls at the end of the dense beginning, when layers, objective and first updates are known.
FIRST_LOOK_STEPS: Final = 20
LEAST_SECONDS: Final = 2.0
# A fifth of the budget for looks; sampling takes half of it (schedule.py).
JUDGING: Final = 0.2
# While a run is young its user waits for a first word: the looks of the first seconds may cost more.
YOUNG_LOOKS: Final = 3
# A warning needs two evaluations in a row, an error one: a contradiction does not go away with more steps.
LOOKS_FOR_A_WARNING: Final = 2
LAST_WAIT_SECONDS: Final = 5.0
_FOLLOWED: Final = ("model_summary", "overhead", "findings", "verdict", "missing", "learning")


@final
class OnlineJudge:
    """Looks at a run now and then; findings open when they are sure and resolve when the evidence turns."""

    def __init__(
        self,
        overhead: float,
        tell: Callable[[int, str, str], None],
        request_samples: Callable[[], None],
        writer: RunWriter | None = None,
        on_problem: Callable[[str, BaseException], None] = lambda _where, _problem: None,
    ) -> None:
        self._on_problem = on_problem
        self._overhead = JUDGING * overhead
        self._looks = 0
        self._tell = tell  # step, kind of event, code and name
        self._look_closely = request_samples  # called when a finding opens
        self.writer = writer
        self._closed = False
        self._thread: threading.Thread | None = None
        self._next_time = 0.0
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        self._open: dict[str, Finding] = {}
        self._opened: deque[Finding] = deque()  # not yet handed to `on_finding`
        self.on_finding: Callable[[Finding], None] | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is open now, the most important first."""
        with self._lock:
            return tuple(sorted(self._open.values(), key=lambda finding: finding.rank))

    def wants(self, step: int) -> bool:
        """Whether it is time for another look."""
        busy = self._thread is not None and self._thread.is_alive()
        return step >= FIRST_LOOK_STEPS and not busy and time.perf_counter() >= self._next_time

    def look(self, snapshot: Callable[[], Run], step: int) -> None:
        """Take a snapshot, whose time counts against the budget too, and judge it on a thread of its own."""
        start = time.perf_counter()
        self._next_time = start + LEAST_SECONDS
        run = snapshot()
        self._thread = threading.Thread(target=self._judge, args=(run, step, start), name="babysit-judge", daemon=True)
        self._thread.start()

    def deliver(self) -> None:
        """Call `on_finding` for each finding that opened since the last call; raises nothing but ProblemFound."""
        while self._opened:
            finding = self._opened.popleft()
            try:
                if self.on_finding is not None:
                    self.on_finding(finding)
            except Exception as problem:
                self._on_problem("on_finding", problem)

    def close(self) -> None:
        """Wait for a look under way; one that takes longer is not heard any more."""
        if self._thread is not None:
            self._thread.join(LAST_WAIT_SECONDS)
        self._closed = True

    def _judge(self, run: Run, step: int, start: float) -> None:
        try:
            from babysit.analysis.verdict import concluded
            from babysit.rules.engine import judge

            self._compare(judge(run, early_only=True), step)
            if self.writer is not None and not self._closed:  # for viewers of a running training
                known = concluded(msgspec.structs.replace(run, findings=self.findings))
                self.writer.update(**{name: getattr(known, name) for name in _FOLLOWED})
        except Exception as problem:
            self._on_problem("live judging", problem)
        seconds = time.perf_counter() - start
        # A look costs the interpreter its time: the next one waits until this one was a small share.
        self._looks += 1
        share = self._overhead if self._looks > YOUNG_LOOKS else self._overhead / JUDGING
        self._next_time = time.perf_counter() + max(LEAST_SECONDS, seconds / share)

    def _compare(self, found: tuple[Finding, ...], step: int) -> None:
        now = {finding.code: finding for finding in found if finding.severity != Severity.INFO}
        self._seen = {code: self._seen.get(code, 0) + 1 for code in now}
        with self._lock:
            for code, finding in now.items():
                sure = finding.severity == Severity.ERROR or self._seen[code] >= LOOKS_FOR_A_WARNING
                if code not in self._open and sure:
                    self._tell(step, "finding_opened", f"{code} {finding.name}")
                    self._look_closely()
                    self._opened.append(finding)
                if code in self._open or sure:
                    self._open[code] = finding
            for code in [code for code in self._open if code not in now]:
                self._tell(step, "finding_resolved", f"{code} {self._open.pop(code).name}")
