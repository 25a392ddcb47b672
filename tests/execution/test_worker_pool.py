"""Workers that start, die and are replaced, with fake workers that do what a test chooses."""

from concurrent.futures import Future

import pytest

from hebbevo.errors import WorkerError
from hebbevo.execution import Cohort, LostCohort, worker_pool
from hebbevo.execution.worker_pool import MAX_FAILED_STARTS, NOTICE_AFTER, WorkerPool
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Candidate, Measurement
from tests.execution.conftest import FailedAttempts, run_cohorts

FINE = Measurement((0.5,), (3,), (3,), 4, 0.1)


def done(result):
    """A future with this result or exception; a result that is a future already stays as it is."""
    if isinstance(result, Future):
        return result
    future = Future()
    future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)
    return future


class FakeWorker:
    def __init__(self, pool, number):
        self._pool = pool
        self.name = f"worker {number}"
        self.is_alive = True
        self.has_died = False
        self.was_killed = False

    def prepare(self):
        return done(ConnectionError("gone") if self.has_died else self._pool.starts(self))

    def train(self, cohort):
        return done(ConnectionError("gone") if self.has_died else self._pool.trains(self, cohort))

    def lost_cohort(self, error):
        kind = FailureKind.MEMORY if "memory" in str(error) else FailureKind.CRASH
        return LostCohort(kind, str(error), self.name)

    def kill(self):
        self.was_killed = True


class FakePool(WorkerPool):
    """``starts`` and ``trains`` give the result, or an exception if the worker dies."""

    def __init__(
        self, workers, starts=lambda _: "", trains=lambda _, cohort: [FINE] * len(cohort.candidates)
    ):
        self.notices = []
        super().__init__(workers, self.notices.append)
        self.size, self.starts, self.trains = workers, starts, trains
        self.started = []

    def new_worker(self):
        self.started.append(FakeWorker(self, len(self.started)))
        return self.started[-1]

    def waiting_notice(self):
        return "waiting"


def cohorts(count):
    return [Cohort((n,), (Candidate({"n": n}),)) for n in range(count)]


def ready(pool):
    """The pool once all its workers are free."""
    while pool.free < pool.size:
        pool.wait(0)
    return pool


def test_workers_that_died_while_idle_cost_no_cohort_an_attempt():
    pool = ready(FakePool(3))
    for worker in pool.started:
        worker.is_alive, worker.has_died = False, True
    assert len(list(run_cohorts(pool, cohorts(5)))) == 5  # none was lost
    assert len(pool.started) == 6


def test_of_workers_that_died_together_unseen_only_one_costs_an_attempt():
    pool = ready(FakePool(4))
    for worker in pool.started[1:]:
        worker.has_died = True
    failures = FailedAttempts()
    assert len(list(run_cohorts(pool, cohorts(1), failures))) == 1
    assert failures.summary() == [((0,), "crash", "again")]
    assert [worker.was_killed for worker in pool.started[:4]] == [False, True, True, True]


@pytest.mark.parametrize("reason", ["killed for its memory", "crashed"])
def test_a_worker_that_dies_is_replaced_whatever_the_reason(reason):
    def trains(worker, cohort):
        return RuntimeError(reason) if worker is pool.started[0] else [FINE]

    pool = ready(FakePool(1, trains=trains))
    failures = FailedAttempts()
    assert [m.failure for _, [m] in run_cohorts(pool, cohorts(4), failures)] == [None] * 4
    assert len(failures) == 1
    assert len(pool.started) == 2


def test_a_worker_that_reports_too_little_memory_stays():
    attempts = []

    def trains(worker, cohort):
        attempts.append(worker.name)
        return LostCohort(FailureKind.MEMORY, "no room", worker.name) if len(attempts) == 1 else [FINE]

    pool = ready(FakePool(1, trains=trains))
    list(run_cohorts(pool, cohorts(2), FailedAttempts()))
    assert attempts == ["worker 0"] * 3
    assert len(pool.started) == 1


def test_replacements_that_cannot_start_do_not_stop_the_workers_that_train():
    def starts(worker):
        return "" if worker in pool.started[:2] else ConnectionError("a bad node")

    def trains(worker, cohort):
        return RuntimeError("crashed") if worker is pool.started[1] else [FINE]

    pool = FakePool(2, starts, trains)
    ready(pool)
    assert len(list(run_cohorts(pool, cohorts(9), FailedAttempts()))) == 9
    assert len(pool.started) == 2 + MAX_FAILED_STARTS


@pytest.mark.parametrize(
    ("result", "starts"), [("no GPU here", 2), (ConnectionError("it died"), MAX_FAILED_STARTS + 1)]
)
def test_if_no_worker_can_start_it_is_an_error_with_the_reason(result, starts):
    pool = FakePool(2, starts=lambda _: result)
    with pytest.raises(WorkerError, match=f"no worker can be started: {result}"):
        ready(pool)
    assert len(pool.started) == starts
    assert all(worker.was_killed for worker in pool.started)


def test_an_accident_at_the_start_is_no_error():
    pool = FakePool(1, starts=lambda worker: ConnectionError() if worker is pool.started[0] else "")
    assert len(list(run_cohorts(pool, cohorts(2)))) == 2


def test_the_user_is_notified_once_of_a_long_wait_for_workers(monkeypatch):
    now = 0.0
    monkeypatch.setattr(worker_pool, "monotonic", lambda: now)
    start = Future()
    pool = FakePool(1, starts=lambda _: start)
    for now in (0.0, NOTICE_AFTER / 2, NOTICE_AFTER + 1, 50.0, 99.0):
        pool.wait(0)
        assert pool.notices == ([] if now <= NOTICE_AFTER else ["waiting"])
    start.set_result("")
    pool.wait(0)
    assert pool.free == 1


def test_to_cancel_an_unknown_cohort_does_nothing():
    assert ready(FakePool(1)).cancel(cohorts(1)[0]) == ""


def test_closing_kills_every_worker():
    pool = ready(FakePool(3))
    pool.submit(cohorts(1)[0])
    pool.close()
    assert all(worker.was_killed for worker in pool.started)
