"""What becomes of lost cohorts, on an executor that loses what it is told to."""

import random
import sys

import pytest

from hebbevo.execution import Cohort, LostCohort
from hebbevo.execution.dispatch import RETRIES
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Candidate, Measurement
from tests.execution.conftest import Losses, run

REPLICATES = 2


def batch(first, size):
    trials = tuple(range(first, first + size))
    return Cohort(trials, tuple(Candidate({"trial": t}, r) for t in trials for r in range(REPLICATES)))


def measurement(candidate):
    return Measurement((float(candidate.genome["trial"]),), (candidate.replicate,), (), 0, 0.0)


class Fake:
    """Ends with one of its batches at a time, in any order; ``fate`` says how, by trials and attempt."""

    def __init__(self, fate=lambda trials, attempt: None, workers=3, seed=0):
        self._fate, self._workers, self._rng = fate, workers, random.Random(seed)
        self._running = []
        self.attempts = {}
        self.given_up = []

    @property
    def free(self):
        return self._workers - len(self._running)

    def submit(self, batch):
        assert self.free
        self._running.append(batch)

    def wait(self, seconds):
        if not self._running:
            return None
        batch = self._running.pop(self._rng.randrange(len(self._running)))
        attempt = self.attempts[batch.trials] = self.attempts.get(batch.trials, 0) + 1
        fault = self._fate(batch.trials, attempt)
        return batch, LostCohort(fault, "gone", "w") if fault else [measurement(c) for c in batch.candidates]

    def has_ended(self, batch):
        return False

    def interrupt(self):
        pass

    def give_up(self, batch):
        self._running.remove(batch)
        self.given_up.append(batch.trials)
        return "w"

    def close(self):
        pass


BATCHES = [batch(0, 5), batch(5, 8), batch(13, 1), batch(14, 4)]


def check(results):
    """Every candidate came back once, with its own measurement or a failure; give the trials that failed."""
    trials = [number for got, _ in results for number in got.trials]
    assert sorted(trials) == list(range(18))
    failed = set()
    for got, measured in results:
        assert len(measured) == len(got.candidates) == REPLICATES * len(got.trials)
        for row, (candidate, m) in enumerate(zip(got.candidates, measured, strict=True)):
            assert candidate.genome["trial"] == got.trials[row // REPLICATES]
            if m.failure:
                failed.add(got.trials[row // REPLICATES])
            else:
                assert m == measurement(candidate)
    return failed


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_lost_comes_back_once(seed):
    assert check(list(run(Fake(seed=seed), BATCHES))) == set()


@pytest.mark.parametrize("fault", FailureKind)
@pytest.mark.parametrize("seed", range(3))
def test_a_single_culprit_is_found_and_takes_no_others_with_it(fault, seed):
    losses = Losses()
    executor = Fake(lambda trials, _: fault if 9 in trials else None, seed=seed)
    assert check(list(run(executor, BATCHES, losses))) == {9}
    assert losses[-1].then == "failed"
    whole = [each for each in losses if each.trials == BATCHES[1].trials]
    assert len(whole) == (1 + RETRIES if fault is FailureKind.CRASH else 1)
    assert len(losses) == len(whole) + 3  # halves of 8: 4, 2 and 1


@pytest.mark.parametrize("losses_before", range(RETRIES + 1))
def test_accidents_change_nothing_but_the_record(losses_before):
    losses = Losses()
    executor = Fake(lambda _, attempt: FailureKind.CRASH if attempt <= losses_before else None)
    results = list(run(executor, BATCHES, losses))
    assert check(results) == set()
    assert {got.trials for got, _ in results} == {batch.trials for batch in BATCHES}  # nothing was cut
    assert {then for _, _, then in losses.told()} == ({"again"} if losses_before else set())
    assert len(losses) == losses_before * len(BATCHES)


@pytest.mark.parametrize("fault", FailureKind)
def test_where_everything_is_lost_everything_fails_after_a_bounded_number_of_attempts(fault):
    executor = Fake(lambda *_: fault)
    losses = Losses()
    assert check(list(run(executor, BATCHES, losses))) == set(range(18))
    assert max(executor.attempts.values()) <= 1 + RETRIES
    deepest = max(sum(n in each.trials for each in losses) for n in range(18))
    assert deepest <= 1 + RETRIES + 3  # whole, then halves of 8


def test_once_nothing_more_is_wanted_what_is_under_way_is_finished_and_nothing_begins():
    taken = []
    executor = Fake(lambda trials, _: FailureKind.CRASH if trials == BATCHES[0].trials else None)
    results = []
    losses = Losses()
    source = (taken.append(each.trials) or each for each in BATCHES)
    for got, _ in run(executor, source, losses, going_on=lambda: not results):
        results.append(got.trials)
    assert len(taken) == 3  # one a worker
    assert {*results, *(each.trials for each in losses)} == set(taken)
    assert executor.free == 3


def test_what_is_done_when_all_is_to_stop_at_once_is_still_given_and_the_rest_is_given_up():
    class Done(Fake):
        """Of which one never ends."""

        def wait(self, seconds):
            return super().wait(seconds) if len(self._running) > 1 else None

    executor = Done(workers=4)
    results = []
    for got, _ in run(executor, BATCHES, at_once=lambda: bool(results)):
        results.append(got.trials)
    assert len(results) == 3
    assert len(executor.given_up) == 1
    assert sorted([*results, *executor.given_up]) == sorted(each.trials for each in BATCHES)


def test_a_cohort_that_has_ended_is_not_late_however_long_others_take_to_record(monkeypatch):
    now = 0.0
    monkeypatch.setattr(sys.modules["hebbevo.execution.dispatch"], "monotonic", lambda: now)

    class Ends(Fake):
        def has_ended(self, batch):
            return True

    results = []
    for got, _ in run(Ends(), BATCHES, limit=1.0):
        results.append(got.trials)
        now += 1000.0
    assert sorted(results) == sorted(each.trials for each in BATCHES)


def test_one_that_has_not_is(monkeypatch):
    now = 0.0
    monkeypatch.setattr(sys.modules["hebbevo.execution.dispatch"], "monotonic", lambda: now)

    class Hangs(Fake):
        def wait(self, seconds):
            nonlocal now
            now += 1.5
            return None

    executor, losses = Hangs(workers=1), Losses()
    [(_, [failed, _])] = run(executor, [batch(0, 1)], losses, limit=2.0)
    assert losses.told() == [((0,), "time", then) for then in ("again", "again", "failed")]
    assert failed.failure == "took longer than 2 s (attempt 3, the last)"
