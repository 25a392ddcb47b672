"""Workers that come, die and are replaced, on workers that do what they are told to."""

from concurrent.futures import Future

import pytest

from hebbevo.errors import WorkerError
from hebbevo.execution import Cohort, LostCohort
from hebbevo.execution import worker_pool as crew_module
from hebbevo.execution.worker_pool import WorkerPool
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Candidate, Measurement
from tests.execution.conftest import Losses, run

FINE = Measurement((0.5,), (3,), (3,), 4, 0.1)


def done(result):
    future = Future()
    future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)
    return future


class Puppet:
    def __init__(self, crew, number):
        self._crew = crew
        self.name = f"worker {number}"
        self.alive = True
        self.gone = False
        self.killed = False

    def begin(self):
        return done(ConnectionError("gone") if self.gone else self._crew.starts(self))

    def train(self, batch):
        return done(ConnectionError("gone") if self.gone else self._crew.trains(self, batch))

    def lost(self, error):
        fault = FailureKind.MEMORY if "memory" in str(error) else FailureKind.CRASH
        return LostCohort(fault, str(error), self.name)

    def kill(self):
        self.killed = True


class Puppets(WorkerPool):
    """``starts`` and ``trains`` say what comes of it: a result, or an exception if the worker is gone."""

    def __init__(self, workers, starts=lambda _: "", trains=lambda _, batch: [FINE] * len(batch.candidates)):
        self.told = []
        super().__init__(workers, self.told.append)
        self.starts, self.trains = starts, trains
        self.hired = []

    def _hire(self):
        self.hired.append(Puppet(self, len(self.hired)))
        return self.hired[-1]

    def _why_nobody(self):
        return "nobody"


def batches(count):
    return [Cohort((n,), (Candidate({"n": n}),)) for n in range(count)]


def settled(crew):
    while crew._starting or crew._missing:
        crew.wait(0)
    return crew


def test_workers_that_died_while_idle_cost_no_cohort_an_attempt():
    crew = settled(Puppets(3))
    for worker in crew.hired:
        worker.alive, worker.gone = False, True
    assert len(list(run(crew, batches(5)))) == 5  # none was lost
    assert len(crew.hired) == 6


def test_where_nobody_can_tell_that_they_died_together_one_attempt_tells():
    crew = settled(Puppets(4))
    for worker in crew.hired[:3]:
        worker.gone = True
    crew._idle.sort(key=lambda worker: worker.gone)  # the last is taken first
    losses = Losses()
    assert len(list(run(crew, batches(1), losses))) == 1
    assert losses.told() == [((0,), "crash", "again")]
    assert [worker.killed for worker in crew.hired[:4]] == [True, True, True, False]


@pytest.mark.parametrize("fault", ["killed for its memory", "crashed"])
def test_a_worker_that_is_gone_is_replaced_whatever_it_died_of(fault):
    def trains(worker, batch):
        return RuntimeError(fault) if worker is crew.hired[0] else [FINE]

    crew = settled(Puppets(1, trains=trains))
    losses = Losses()
    assert [m.failure for _, [m] in run(crew, batches(4), losses)] == [None] * 4
    assert len(losses) == 1
    assert len(crew.hired) == 2


def test_a_worker_that_says_that_it_had_no_room_stays():
    attempts = []

    def trains(worker, batch):
        attempts.append(worker.name)
        return LostCohort(FailureKind.MEMORY, "no room", worker.name) if len(attempts) == 1 else [FINE]

    crew = settled(Puppets(1, trains=trains))
    list(run(crew, batches(2), Losses()))
    assert attempts == ["worker 0"] * 3
    assert len(crew.hired) == 1


def test_replacements_that_cannot_begin_do_not_stop_those_who_train():
    def starts(worker):
        return "" if worker in crew.hired[:2] else ConnectionError("a bad node")

    def trains(worker, batch):
        return RuntimeError("crashed") if worker is crew.hired[1] else [FINE]

    crew = Puppets(2, starts, trains)
    settled(crew)
    assert len(list(run(crew, batches(9), Losses()))) == 9
    assert len(crew.hired) == 2 + crew_module._STARTS


@pytest.mark.parametrize(
    ("result", "hired"), [("no GPU here", 2), (ConnectionError("it died"), crew_module._STARTS + 1)]
)
def test_where_nobody_can_begin_it_is_an_error_with_the_reason(result, hired):
    crew = Puppets(2, starts=lambda _: result)
    with pytest.raises(WorkerError, match=f"no worker can be started: {result}"):
        settled(crew)
    assert len(crew.hired) == hired
    assert all(worker.killed for worker in crew.hired)


def test_an_accident_at_the_start_is_no_error():
    crew = Puppets(1, starts=lambda worker: ConnectionError() if worker is crew.hired[0] else "")
    assert len(list(run(crew, batches(2)))) == 2


def test_the_user_is_told_once_of_a_long_wait_for_workers(monkeypatch):
    now = 0.0
    monkeypatch.setattr(crew_module, "monotonic", lambda: now)
    never = Future()
    crew = Puppets(1)
    crew._hire = lambda: type("Slow", (Puppet,), {"begin": lambda _: never})(crew, 0)
    for now in (0.0, 10.0, 21.0, 50.0, 99.0):  # noqa: B007
        crew.wait(0)
    assert crew.told == ["nobody"]
    never.set_result("")
    crew.wait(0)
    assert crew.free == 1


def test_a_batch_that_it_does_not_know_is_given_up_without_ado():
    assert settled(Puppets(1)).give_up(batches(1)[0]) == ""


def test_closing_kills_everybody():
    crew = settled(Puppets(3))
    crew.submit(batches(1)[0])
    crew.close()
    assert all(worker.killed for worker in crew.hired)
