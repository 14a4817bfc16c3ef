from __future__ import annotations

from babysit.testing.executor_contract import ExecutorContract
from babysit.tuning.executor import Executor, Workload
from babysit.tuning.in_process import InProcess


class TestInProcess(ExecutorContract):
    def make(self, workload: Workload) -> Executor:
        return InProcess(workload)
