"""What every worker is told once, and does with each cohort."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hebbevo.data import Split
from hebbevo.errors import WorkerError
from hebbevo.execution.executor import Cohort, LostCohort
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Measurement, Recipe, ran_out_of_memory, told, train


@dataclass(frozen=True)
class WorkerSetup:
    """What the cohorts of a study have in common, wherever they are trained.

    Attributes:
        recipe: what the trainings share.
        split: the data.
        device: ``cpu`` or ``cuda``.
        threads: of PyTorch a cohort; results can differ in the last bits with another number.
        nice: how much a worker gives way to other programs, 0 to 19.
        memory: bytes that a worker may hold on the CPU, or ``None``.
        gpu_share: part of a GPU that a worker may fill, 0..1.
    """

    recipe: Recipe
    split: Split
    device: str
    threads: int
    nice: int = 0
    memory: int | None = None
    gpu_share: float = 1.0

    def begin(self) -> None:
        """Make this process a worker of the job, with PyTorch warm.

        Raises:
            WorkerError: there is no such device here, or it takes more memory than it may.
        """
        os.nice(max(0, self.nice - os.nice(0)))
        torch.set_num_threads(self.threads)
        if self.device == "cuda":
            if not torch.cuda.is_available():
                raise WorkerError("the study trains on a GPU, and the worker finds none")
            if self.gpu_share < 1:
                torch.cuda.set_per_process_memory_fraction(self.gpu_share)
        weight = torch.ones(8, 8, device=self.device, requires_grad=True)
        torch.autograd.grad(weight.mm(weight).sum(), weight)
        np.random.default_rng(0)  # imports its parts only now, for which there may be no room later
        if self.memory is not None:
            _hold_to(self.memory)

    def train(self, batch: Cohort, worker: str) -> list[Measurement] | LostCohort:
        """Train a cohort; one that takes more memory than there is, or raises, is lost."""
        try:
            device = torch.device(self.device)
            return train(self.recipe, batch.candidates, self.split, device, batch.standard)
        except Exception as error:
            lost = LostCohort(
                FailureKind.MEMORY if ran_out_of_memory(error) else FailureKind.CRASH, told(error), worker
            )
        if self.device == "cuda":
            torch.cuda.empty_cache()  # after the error, which held the tensors, is gone
        return lost


def _hold_to(memory: int) -> None:
    """Let this process hold no more: of data, for the shared pages of a cluster's store are not its own."""
    import resource  # which not every system has

    [line] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")
    ]
    held = 1024 * int(line.split()[1])
    if held >= memory:
        what = f"a worker holds {held / 1e6:.0f} MB before it trains"
        raise WorkerError(f"--memory-per-worker: {what}; allow it more")
    resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
