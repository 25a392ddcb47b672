"""Training in the search's own process, one cohort after the other."""

from __future__ import annotations

import torch

from hebbevo.exclusive import PROCESS
from hebbevo.execution.executor import Cohort, CohortResult, Interrupted
from hebbevo.execution.worker_setup import WorkerSetup


class SerialExecutor:
    """Trains in this process, where a time limit cannot end a training, and a crash ends the search.

    Args:
        setup: what the cohorts have in common; its limits of the process (priority, memory) do not apply.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._cohort: Cohort | None = None
        self._is_training = False

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        return 1 if self._cohort is None else 0

    def submit(self, cohort: Cohort) -> None:
        """See `Executor.submit`. The training itself happens in `wait`."""
        self._cohort = cohort

    def wait(self, seconds: float) -> tuple[Cohort, CohortResult] | None:
        """See `Executor.wait`. It returns at the end of the training, however long that takes."""
        if (cohort := self._cohort) is None:
            return None
        with PROCESS:
            threads = torch.get_num_threads()
            torch.set_num_threads(self._setup.threads)
            try:
                self._is_training = True
                return cohort, self._setup.train(cohort, _NAME)
            except Interrupted:
                return None
            finally:
                self._is_training = False
                torch.set_num_threads(threads)
                self._cohort = None

    def has_ended(self, cohort: Cohort) -> bool:
        """See `Executor.has_ended`."""
        return False

    def cancel(self, cohort: Cohort) -> str:
        """See `Executor.cancel`."""
        self._cohort = None
        return _NAME

    def interrupt(self) -> None:
        """See `Executor.interrupt`. It raises out of the training, since `wait` cannot return during it."""
        if self._is_training:
            raise Interrupted

    def close(self) -> None:
        """See `Executor.close`. There are no workers to release."""


_NAME = "the search's own process"
