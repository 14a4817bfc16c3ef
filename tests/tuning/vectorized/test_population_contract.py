from __future__ import annotations

from babysit.testing.executor_contract import ExecutorContract
from babysit.tuning.executors.base import Executor, TrainingTask
from babysit.tuning.vectorized.executor import VectorizedExecutor


class TestPopulation(ExecutorContract):
    def make(self, workload: TrainingTask) -> Executor:
        return VectorizedExecutor(workload)
