"""What happens to lost cohorts, on an executor that loses those that a test chooses."""

import random

import pytest

from hebbevo.execution import Cohort, LostCohort
from hebbevo.execution.dispatch import RETRIES
from hebbevo.study.attempts import FailureKind
from hebbevo.training import Candidate, Measurement
from tests.execution.conftest import FailedAttempts, run_cohorts

REPLICATES = 2


def cohort(first, size):
    trials = tuple(range(first, first + size))
    return Cohort(trials, tuple(Candidate({"trial": t}, r) for t in trials for r in range(REPLICATES)))


def measurement(candidate):
    return Measurement((float(candidate.genome["trial"]),), (candidate.replicate,), (), 0, 0.0)


class FakeExecutor:
    """Ends one of its cohorts at a time, in random order.

    ``kind_of_loss`` says how a cohort is lost, if it is, given its trials and the number of the attempt.
    """

    def __init__(self, kind_of_loss=lambda trials, attempt: None, workers=3, seed=0):
        self._kind_of_loss, self._workers, self._rng = kind_of_loss, workers, random.Random(seed)
        self.running = []
        self.attempts = {}
        self.cancelled = []

    @property
    def free(self):
        return self._workers - len(self.running)

    def submit(self, cohort):
        assert self.free
        self.running.append(cohort)

    def wait(self, seconds):
        if not self.running:
            return None
        cohort = self.running.pop(self._rng.randrange(len(self.running)))
        attempt = self.attempts[cohort.trials] = self.attempts.get(cohort.trials, 0) + 1
        if kind := self._kind_of_loss(cohort.trials, attempt):
            return cohort, LostCohort(kind, "gone", "w")
        return cohort, [measurement(candidate) for candidate in cohort.candidates]

    def has_ended(self, cohort):
        return False

    def interrupt(self):
        pass

    def cancel(self, cohort):
        self.running.remove(cohort)
        self.cancelled.append(cohort.trials)
        return "w"

    def close(self):
        pass


COHORTS = [cohort(0, 5), cohort(5, 8), cohort(13, 1), cohort(14, 4)]


def failed_trials(results):
    """The trials that failed; checks that every candidate has one result: its own or a failure."""
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
def test_a_cohort_that_is_not_lost_has_one_result(seed):
    assert failed_trials(list(run_cohorts(FakeExecutor(seed=seed), COHORTS))) == set()


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("seed", range(3))
def test_a_single_trial_that_loses_its_cohort_is_found_and_only_it_fails(kind, seed):
    failures = FailedAttempts()
    executor = FakeExecutor(lambda trials, _: kind if 9 in trials else None, seed=seed)
    assert failed_trials(list(run_cohorts(executor, COHORTS, failures))) == {9}
    assert failures[-1].recovery == "failed"
    whole = [each for each in failures if each.trials == COHORTS[1].trials]
    assert len(whole) == (1 + RETRIES if kind is FailureKind.CRASH else 1)
    assert len(failures) == len(whole) + 3  # halves of 8: 4, 2 and 1


@pytest.mark.parametrize("losses_before", range(RETRIES + 1))
def test_accidents_change_only_the_list_of_failed_attempts(losses_before):
    failures = FailedAttempts()
    executor = FakeExecutor(lambda _, attempt: FailureKind.CRASH if attempt <= losses_before else None)
    results = list(run_cohorts(executor, COHORTS, failures))
    assert failed_trials(results) == set()
    assert {got.trials for got, _ in results} == {each.trials for each in COHORTS}  # none was halved
    recoveries = {recovery for _, _, recovery in failures.summary()}
    assert recoveries == ({"again"} if losses_before else set())
    assert len(failures) == losses_before * len(COHORTS)


@pytest.mark.parametrize("kind", FailureKind)
def test_if_every_cohort_is_lost_all_fail_after_a_bounded_number_of_attempts(kind):
    executor = FakeExecutor(lambda *_: kind)
    failures = FailedAttempts()
    assert failed_trials(list(run_cohorts(executor, COHORTS, failures))) == set(range(18))
    assert max(executor.attempts.values()) <= 1 + RETRIES
    most = max(sum(n in each.trials for each in failures) for n in range(18))
    assert most <= 1 + RETRIES + 3  # whole, then halves of 8


def test_once_no_more_may_start_the_cohorts_in_training_are_finished():
    taken = []
    executor = FakeExecutor(lambda trials, _: FailureKind.CRASH if trials == COHORTS[0].trials else None)
    results = []
    failures = FailedAttempts()
    source = (taken.append(each.trials) or each for each in COHORTS)
    for got, _ in run_cohorts(executor, source, failures, may_start=lambda: not results):
        results.append(got.trials)
    assert len(taken) == 3  # one per worker
    assert {*results, *(each.trials for each in failures)} == set(taken)
    assert executor.free == 3


def test_at_a_stop_results_that_are_ready_are_given_and_the_other_cohorts_are_cancelled():
    class OneNeverEnds(FakeExecutor):
        def wait(self, seconds):
            return super().wait(seconds) if len(self.running) > 1 else None

    executor = OneNeverEnds(workers=4)
    results = []
    for got, _ in run_cohorts(executor, COHORTS, must_stop=lambda: bool(results)):
        results.append(got.trials)
    assert len(results) == 3
    assert len(executor.cancelled) == 1
    assert sorted([*results, *executor.cancelled]) == sorted(each.trials for each in COHORTS)


def test_a_cohort_that_has_ended_is_not_late_however_long_it_takes_to_record_others(monkeypatch):
    now = 0.0
    monkeypatch.setattr("hebbevo.execution.dispatch.monotonic", lambda: now)

    class HasEnded(FakeExecutor):
        def has_ended(self, cohort):
            return True

    results = []
    for got, _ in run_cohorts(HasEnded(), COHORTS, trial_seconds=1.0):
        results.append(got.trials)
        now += 1000.0
    assert sorted(results) == sorted(each.trials for each in COHORTS)


def test_a_cohort_that_has_not_ended_in_time_is_cancelled(monkeypatch):
    now = 0.0
    monkeypatch.setattr("hebbevo.execution.dispatch.monotonic", lambda: now)

    class Hangs(FakeExecutor):
        def wait(self, seconds):
            nonlocal now
            now += 1.5
            return None

    executor, failures = Hangs(workers=1), FailedAttempts()
    [(_, [failed, _])] = run_cohorts(executor, [cohort(0, 1)], failures, trial_seconds=2.0)
    assert failures.summary() == [((0,), "time", recovery) for recovery in ("again", "again", "failed")]
    assert failed.failure == "took longer than 2 s (attempt 3, the last)"


def test_what_is_to_be_done_meanwhile_is_done_once_while_all_workers_train():
    executor, seen = FakeExecutor(), []
    done = list(run_cohorts(executor, COHORTS, meanwhile=lambda: seen.append(len(executor.running))))
    assert len(done) == len(COHORTS)
    assert seen == [3]
