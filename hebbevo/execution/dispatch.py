"""Hand out cohorts to an executor, and retry, halve or fail those that are lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from hebbevo.execution.executor import Cohort, CohortResult, Executor, LostCohort
from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.training import Measurement

RETRIES = 2
"""How many times a lost cohort is trained again as it is."""

_POLL = 0.2  # seconds between two calls of must_stop


@dataclass
class _Task:
    """A cohort to train. ``losses`` counts its lost attempts and those of the cohorts it is a half of."""

    cohort: Cohort
    losses: int = 0
    started: float = 0.0

    def recover(self, lost: LostCohort) -> tuple[Recovery, list[_Task]]:
        """Decide what follows the loss of this cohort, and give the tasks that replace it.

        A worker may die by accident, so after a crash the same cohort is trained again, with the same result.
        A cohort that needs too much memory or time is halved at once. So is one that has crashed every time:
        halving isolates the one training that kills its worker, and the others get their results.
        """
        losses = self.losses + 1
        if len(self.cohort.trials) > 1 and (lost.kind is not FailureKind.CRASH or losses > RETRIES):
            return Recovery.IN_HALVES, [_Task(half, losses) for half in self.cohort.halves()]
        if losses <= RETRIES:
            return Recovery.AGAIN, [_Task(self.cohort, losses)]
        return Recovery.FAILED, []


def dispatch_cohorts(
    executor: Executor,
    cohorts: Iterable[Cohort],
    *,
    trial_seconds: float,
    may_start: Callable[[], bool],
    must_stop: Callable[[], bool],
    on_failure: Callable[[FailedAttempt], None],
    meanwhile: Callable[[], None] | None = None,
) -> Generator[tuple[Cohort, list[Measurement]], None, None]:
    """Train every cohort and yield it, or its halves, with one measurement per candidate, as they end.

    The order is that in which cohorts end. Closing the generator cancels the cohorts in training.

    Args:
        executor: trains the cohorts.
        cohorts: taken one at a time, each when a worker is free.
        trial_seconds: longest time for one trial; a cohort of n trials may take n times as long.
        may_start: called before every cohort; ``False`` starts no more, and those in training are finished.
        must_stop: called five times a second; ``True`` cancels the cohorts in training, too.
        on_failure: called with every failed attempt before the next one starts.
        meanwhile: called once, while the first cohorts train.
    """
    source = iter(cohorts)
    retries: deque[_Task] = deque()
    running: dict[tuple[int, ...], _Task] = {}

    def next_task() -> _Task | None:
        if not may_start():
            return None
        if retries:
            return retries.popleft()
        return next(map(_Task, source), None)

    def end(cohort: Cohort, result: CohortResult) -> Iterator[tuple[Cohort, list[Measurement]]]:
        task = running.pop(cohort.trials)
        if not isinstance(result, LostCohort):
            yield cohort, list(result)
            return
        recovery, tasks = task.recover(result)
        seconds = monotonic() - task.started
        on_failure(FailedAttempt(cohort.trials, result.kind, result.reason, result.worker, seconds, recovery))
        retries.extend(tasks)
        if recovery is Recovery.FAILED:
            reason = f"{result.reason} (attempt {task.losses + 1}, the last)"
            yield cohort, [Measurement.failed(reason)] * len(cohort.candidates)

    try:
        while not must_stop():
            while executor.free and (task := next_task()):
                task.started = monotonic()
                running[task.cohort.trials] = task
                executor.submit(task.cohort)
            if not running and (executor.free or not may_start()):
                return
            if meanwhile:
                meanwhile()
                meanwhile = None
            if ended := executor.wait(_POLL):
                yield from end(*ended)
            for task in [*running.values()]:
                allowed = trial_seconds * len(task.cohort.trials)
                # recording other results may take long: a cohort that has ended meanwhile is not late
                if monotonic() - task.started > allowed and not executor.has_ended(task.cohort):
                    worker = executor.cancel(task.cohort)
                    late = LostCohort(FailureKind.TIME, f"took longer than {allowed:g} s", worker)
                    yield from end(task.cohort, late)
        while ended := executor.wait(0):  # results that are ready are still recorded
            yield from end(*ended)
    finally:
        for task in running.values():
            executor.cancel(task.cohort)
