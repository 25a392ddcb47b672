"""Executors: where cohorts are trained, in this process and its threads, in worker processes, or on Ray.

`hebbevo.execution.ray` is imported only where Ray is used, because it starts to configure Ray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hebbevo import lazy_imports

if TYPE_CHECKING:
    from hebbevo.execution.dispatch import dispatch_cohorts
    from hebbevo.execution.executor import Cohort, CohortResult, Executor, LostCohort
    from hebbevo.execution.processes import ProcessExecutor
    from hebbevo.execution.serial import SerialExecutor
    from hebbevo.execution.threads import ThreadExecutor
    from hebbevo.execution.worker_setup import WorkerSetup

# a search reads its space file and its data while a prestarted worker imports PyTorch
__getattr__, __dir__ = lazy_imports.attach(
    __name__,
    {
        "hebbevo.execution.dispatch": ("dispatch_cohorts",),
        "hebbevo.execution.executor": ("Cohort", "CohortResult", "Executor", "LostCohort"),
        "hebbevo.execution.processes": ("ProcessExecutor",),
        "hebbevo.execution.serial": ("SerialExecutor",),
        "hebbevo.execution.threads": ("ThreadExecutor",),
        "hebbevo.execution.worker_setup": ("WorkerSetup",),
    },
)

__all__ = [
    "Cohort",
    "CohortResult",
    "Executor",
    "LostCohort",
    "ProcessExecutor",
    "SerialExecutor",
    "ThreadExecutor",
    "WorkerSetup",
    "dispatch_cohorts",
]
