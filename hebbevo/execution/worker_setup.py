"""What a worker receives once, before its first cohort."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from hebbevo import native, user_code, user_modules
from hebbevo.data import Split
from hebbevo.errors import UsageError, WorkerError
from hebbevo.execution.executor import Cohort, LostCohort
from hebbevo.messages import describe
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Measurement, Recipe, ran_out_of_memory, train
from hebbevo.training.recipe import NATIVE


@dataclass(frozen=True)
class WorkerSetup:
    """What all cohorts of a study have in common, and the limits of a worker's process.

    Attributes:
        recipe: what all trainings share.
        split: training, validation and test data.
        device: ``cpu`` or ``cuda``.
        threads: PyTorch threads for a cohort. Another number may change the last bits of results.
        nice: how much a worker yields to other programs, 0 (not at all) to 19.
        memory_bytes: most memory for the worker's data on the CPU, or ``None`` for no limit.
        gpu_share: largest part of a GPU's memory that the worker may use, above 0 and up to 1.
        modules: digests of the user's modules, by name, as the search has loaded them.
    """

    recipe: Recipe
    split: Split
    device: str
    threads: int
    nice: int = 0
    memory_bytes: int | None = None
    gpu_share: float = 1.0
    modules: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Prepare this process: priority, threads, limits, and PyTorch's first operations, which are slow.

        Raises:
            WorkerError: this machine has no such device or no native engine, the process already exceeds its
                memory limit, or the user's code cannot be imported or has changed since the search loaded it.
        """
        with suppress(ValueError):  # outside the main thread, where Python delivers no signals
            signal.signal(signal.SIGINT, _ignore)  # Ctrl-C is for the search
        os.nice(max(0, self.nice - os.nice(0)))
        torch.set_num_threads(self.threads)
        if self.device == "cuda":
            if not torch.cuda.is_available():
                raise WorkerError("the study trains on a GPU, and the worker finds none")
            if self.gpu_share < 1:
                torch.cuda.set_per_process_memory_fraction(self.gpu_share)
        # load libraries before memory is limited: their size is not the user's concern
        weight = torch.ones(8, 8, device=self.device, requires_grad=True)
        torch.autograd.grad(weight.mm(weight).sum(), weight)
        np.random.default_rng(0)
        if self.memory_bytes is not None:
            _limit_memory(self.memory_bytes)
        if self.recipe.engine == NATIVE and not native.is_built():
            raise WorkerError(f"a worker cannot train: {native.why_missing()}")
        missing: list[UsageError] = []
        for reference in self.recipe.code:
            try:
                user_code.resolve(reference)
            except UsageError as error:
                missing.append(error)
        self._check_modules(user_modules.changed(self.modules))
        if missing:  # the search could import it, so that no genome is at fault
            raise WorkerError(f"a worker cannot import your code: {missing[0]}")

    def train(
        self, cohort: Cohort, worker: str, after_epoch: Callable[[], None] | None = None
    ) -> list[Measurement] | LostCohort:
        """Train a cohort. One that runs out of memory, or raises, is lost, which names this ``worker``.

        Args:
            cohort: the cohort.
            worker: what trains it.
            after_epoch: is called after each epoch; a ``KeyboardInterrupt`` of its own ends the training.

        Raises:
            WorkerError: the user's code that runs here is not that of the search.
        """
        self._check_modules(user_modules.changed(self.modules, loaded_only=True))
        try:
            recipe, device = cohort.recipe or self.recipe, torch.device(self.device)
            measured = train(
                recipe,
                cohort.candidates,
                self.split,
                device,
                cohort.early_stopper,
                cohort.exam,
                cohort.keeping,
                after_epoch,
                cohort.pruning_patience,
            )
            # a module that is imported in a function may be loaded only now
            self._check_modules(user_modules.changed(self.modules, loaded_only=True))
            return measured
        except WorkerError:
            raise
        except Exception as error:
            kind = FailureKind.MEMORY if ran_out_of_memory(error) else FailureKind.CRASH
            lost = LostCohort(kind, describe(error), worker)
        if self.device == "cuda":
            torch.cuda.empty_cache()  # not before the exception is gone, whose frames hold the tensors
        return lost

    def _check_modules(self, changed: Sequence[str]) -> None:
        if changed:
            what = f"your code has changed since the search began ({', '.join(changed)})"
            raise WorkerError(f"{what}; put it back and resume, or begin another study")


def _ignore(*_: object) -> None:
    """Handle a signal by doing nothing; unlike ``SIG_IGN``, child processes do not inherit it."""


def _limit_memory(limit: int) -> None:
    """Limit the data of this process to so many bytes; Ray's shared pages of the object store do not count.

    Raises:
        WorkerError: the process holds as much already.
    """
    import resource  # Windows has no such module

    [line] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")
    ]
    held = 1024 * int(line.split()[1])
    if held >= limit:
        problem = f"a worker holds {held / 1e6:.0f} MB before it trains"
        raise WorkerError(f"--memory-per-worker: {problem}; allow it more")
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
