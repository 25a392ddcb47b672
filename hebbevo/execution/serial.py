"""Training in this process, one cohort after the other."""

from __future__ import annotations

import torch

from hebbevo.execution.executor import Cohort, CohortResult
from hebbevo.execution.worker_setup import WorkerSetup


class SerialExecutor:
    """Trains in this process; nobody can stop a training here, nor survive it.

    Args:
        job: what the cohorts have in common; what it says of the process itself does not apply.
    """

    def __init__(self, job: WorkerSetup) -> None:
        self._job = job
        self._batch: Cohort | None = None
        self._training = False

    @property
    def free(self) -> int:
        """See `Executor.free`."""
        return 1 if self._batch is None else 0

    def submit(self, batch: Cohort) -> None:
        """See `Executor.submit`; it is trained when it is waited for."""
        self._batch = batch

    def wait(self, seconds: float) -> tuple[Cohort, CohortResult] | None:
        """See `Executor.wait`; it takes as long as it takes."""
        if (batch := self._batch) is None:
            return None
        before = torch.get_num_threads()
        torch.set_num_threads(self._job.threads)
        try:
            self._training = True
            return batch, self._job.train(batch, _HERE)
        except _Interrupted:
            return None
        finally:
            self._training = False
            torch.set_num_threads(before)
            self._batch = None

    def has_ended(self, batch: Cohort) -> bool:
        """See `Executor.has_ended`."""
        return False

    def give_up(self, batch: Cohort) -> str:
        """See `Executor.give_up`."""
        self._batch = None
        return _HERE

    def interrupt(self) -> None:
        """See `Executor.interrupt`."""
        if self._training:
            raise _Interrupted

    def close(self) -> None:
        """See `Executor.close`; nothing is held."""


class _Interrupted(KeyboardInterrupt):
    """Ends a training from within."""


_HERE = "the search's own process"
