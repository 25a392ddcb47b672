"""Executors: where cohorts are trained."""

from hebbevo.executors.batch import Batch, Executor
from hebbevo.executors.processes import ProcessExecutor
from hebbevo.executors.serial import SerialExecutor

__all__ = ["Batch", "Executor", "ProcessExecutor", "SerialExecutor"]
