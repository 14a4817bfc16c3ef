from __future__ import annotations

from babysit.testing.executor_contract import ExecutorContract
from babysit.tuning.executor import Executor, Workload
from babysit.tuning.population.population import Population


class TestPopulation(ExecutorContract):
    def make(self, workload: Workload) -> Executor:
        return Population(workload)
