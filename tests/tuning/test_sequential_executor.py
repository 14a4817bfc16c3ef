from __future__ import annotations

from babysit.testing.executor_contract import ExecutorContract
from babysit.tuning.executors.base import Executor, TrainingTask
from babysit.tuning.executors.sequential import SequentialExecutor


class TestInProcess(ExecutorContract):
    def make(self, workload: TrainingTask) -> Executor:
        return SequentialExecutor(workload)
