"""What becomes of a cohort that is lost: once more, in halves, or a failed training."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from hebbevo.execution.executor import Cohort, CohortResult, Executor, LostCohort
from hebbevo.study.attempts import FailedAttempt, FailureKind, Recovery
from hebbevo.training import Measurement

RETRIES = 2
"""How often a cohort is tried again as it is."""

_LOOK = 0.2  # seconds after which somebody may have asked to stop


@dataclass
class _Task:
    """A batch on its way, with what was lost of it and of the batches it is a part of."""

    batch: Cohort
    losses: int = 0
    begun: float = 0.0

    def after(self, lost: LostCohort) -> tuple[Recovery, list[_Task]]:
        """What is done after one more loss.

        A worker may die by accident, so a batch comes again as it is, to the same result. One that is too
        large or too slow comes in halves, and so does one that always kills its worker: a single training
        that does that takes no others with it.
        """
        losses = self.losses + 1
        if len(self.batch.trials) > 1 and (lost.fault is not FailureKind.CRASH or losses > RETRIES):
            return Recovery.IN_HALVES, [_Task(half, losses) for half in self.batch.halves()]
        if losses <= RETRIES:
            return Recovery.AGAIN, [_Task(self.batch, losses)]
        return Recovery.FAILED, []


def dispatch(
    executor: Executor,
    batches: Iterable[Cohort],
    *,
    limit: float,
    going_on: Callable[[], bool],
    at_once: Callable[[], bool],
    lost: Callable[[FailedAttempt], None],
) -> Generator[tuple[Cohort, list[Measurement]], None, None]:
    """Train every batch and yield it, or its parts, with a measurement a candidate, as they are done.

    Closing the generator gives up what is still training.

    Args:
        executor: where.
        batches: taken one by one when somebody is free.
        limit: seconds that a trial may take; a batch may take its number of trials times as long.
        going_on: asked before every batch whether it is still wanted; what is under way is finished.
        at_once: asked ever again whether to give up what is under way, too.
        lost: told of every attempt that came to nothing, before the next.
    """
    source = iter(batches)
    again: deque[_Task] = deque()
    running: dict[tuple[int, ...], _Task] = {}

    def following() -> _Task | None:
        if not going_on():
            return None
        if again:
            return again.popleft()
        return next(map(_Task, source), None)

    def ended(batch: Cohort, outcome: CohortResult) -> Iterator[tuple[Cohort, list[Measurement]]]:
        task = running.pop(batch.trials)
        if not isinstance(outcome, LostCohort):
            yield batch, list(outcome)
            return
        then, tasks = task.after(outcome)
        seconds = monotonic() - task.begun
        lost(FailedAttempt(batch.trials, outcome.fault, outcome.reason, outcome.worker, seconds, then))
        again.extend(tasks)
        if then is Recovery.FAILED:
            reason = f"{outcome.reason} (attempt {task.losses + 1}, the last)"
            yield batch, [Measurement.failed(reason)] * len(batch.candidates)

    try:
        while not at_once():
            while executor.free and (task := following()):
                task.begun = monotonic()
                running[task.batch.trials] = task
                executor.submit(task.batch)
            if not running and (executor.free or not going_on()):
                return
            if end := executor.wait(_LOOK):
                yield from ended(*end)
            for task in [*running.values()]:
                allowed = limit * len(task.batch.trials)
                if monotonic() - task.begun > allowed and not executor.has_ended(task.batch):
                    worker = executor.give_up(task.batch)
                    yield from ended(
                        task.batch, LostCohort(FailureKind.TIME, f"took longer than {allowed:g} s", worker)
                    )
        while end := executor.wait(0):  # what is done is done
            yield from ended(*end)
    finally:
        for task in running.values():
            executor.give_up(task.batch)
