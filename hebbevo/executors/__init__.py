"""Executors: where cohorts are trained.

`hebbevo.executors.ray` is imported by who uses it.
"""

from hebbevo.executors.batch import Batch, Executor, Lost, Outcome
from hebbevo.executors.dispatch import dispatch
from hebbevo.executors.job import Job
from hebbevo.executors.processes import ProcessExecutor
from hebbevo.executors.serial import SerialExecutor

__all__ = [
    "Batch",
    "Executor",
    "Job",
    "Lost",
    "Outcome",
    "ProcessExecutor",
    "SerialExecutor",
    "dispatch",
]
