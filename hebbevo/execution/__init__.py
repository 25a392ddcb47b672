"""Executors: where cohorts are trained.

`hebbevo.execution.ray` is imported by who uses it.
"""

from hebbevo.execution.dispatch import dispatch
from hebbevo.execution.executor import Cohort, CohortResult, Executor, LostCohort
from hebbevo.execution.processes import ProcessExecutor
from hebbevo.execution.serial import SerialExecutor
from hebbevo.execution.worker_setup import WorkerSetup

__all__ = [
    "Cohort",
    "CohortResult",
    "Executor",
    "LostCohort",
    "ProcessExecutor",
    "SerialExecutor",
    "WorkerSetup",
    "dispatch",
]
