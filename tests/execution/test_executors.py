"""What every executor must do. To test a new one, add it to ``EXECUTORS``."""

import os
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
import torch

from hebbevo.errors import WorkerError
from hebbevo.execution import Cohort, ProcessExecutor, SerialExecutor, ThreadExecutor
from hebbevo.execution.ray import RayExecutor
from hebbevo.training import Candidate
from tests.execution.conftest import (
    COHORTS,
    SETUP,
    FailedAttempts,
    all_end,
    by_trials,
    cohort,
    run_cohorts,
    singles,
    without_times,
)

IN_OTHER_PROCESSES = {
    "processes": partial(ProcessExecutor, workers=2),
    "ray": partial(RayExecutor, workers=2),
}
"""Executors that can stop a training, and survive a crash of one."""
EXECUTORS = {
    "serial": SerialExecutor,
    "threads": partial(ThreadExecutor, workers=2),
    **IN_OTHER_PROCESSES,
}


def executor_named(name, request):
    """The constructor of an executor, which may need a Ray cluster."""
    if name == "ray":
        request.getfixturevalue("ray_cluster")
    return EXECUTORS[name]


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    """An executor of each kind; tests share it, for workers take seconds to start."""
    with closing(executor_named(request.param, request)(SETUP)) as executor:
        yield executor


@pytest.fixture(scope="module", params=EXECUTORS)
def user_executor(request, user_setup):
    """An executor of each kind for networks of user code."""
    with closing(executor_named(request.param, request)(user_setup)) as executor:
        yield executor


@pytest.fixture
def one_retry(monkeypatch):
    """A lost cohort is trained again once: a worker takes seconds to start. `test_dispatch` has more."""
    monkeypatch.setattr("hebbevo.execution.dispatch.RETRIES", 1)


in_other_processes = pytest.mark.parametrize("user_executor", IN_OTHER_PROCESSES, indirect=True)
"""Only with executors whose workers may crash or hang."""


@pytest.fixture(params=EXECUTORS)
def make(request):
    """Makes a new executor of each kind."""
    return executor_named(request.param, request)


@pytest.fixture(params=IN_OTHER_PROCESSES)
def make_with_one_worker(request):
    """Makes a new executor of each kind with a worker in another process."""
    return partial(executor_named(request.param, request), workers=1)


# --- the same results ---


def test_every_cohort_comes_back_once_with_the_results_of_train_bit_for_bit(executor, expected):
    results = list(run_cohorts(executor, COHORTS))
    assert sorted(each.trials for each, _ in results) == [(0, 1), (2,), (3, 4)]
    assert all(each in COHORTS for each, _ in results)
    assert without_times(results) == expected


def test_results_depend_neither_on_the_order_of_cohorts_nor_on_the_state_of_this_process(executor, expected):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(77)
    try:
        results = [result for each in reversed(COHORTS) for result in run_cohorts(executor, [each])]
    finally:
        torch.set_num_threads(threads)
    assert without_times(results) == expected


def test_cohorts_may_come_from_an_iterator(executor, expected):
    assert without_times(run_cohorts(executor, iter(COHORTS))) == expected


def test_without_cohorts_there_are_no_results(executor):
    assert list(run_cohorts(executor, [])) == []


def test_a_failed_training_is_a_measurement_beside_the_others(executor):
    diverging = Cohort((5, 6), (Candidate({"learning_rate": 1e6}), Candidate({})))
    [(back, (failed, fine))] = run_cohorts(executor, [diverging])
    assert back == diverging
    assert "NaN or infinite at step" in failed.failure
    assert fine.failure is None


def test_threads_and_random_generator_of_pytorch_are_unchanged_at_every_result(executor):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    try:
        assert [torch.get_num_threads() for _ in run_cohorts(executor, COHORTS)] == [2, 2, 2]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_more_cohorts_are_taken_once_the_consumer_has_stopped(executor):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield Cohort((len(taken),), COHORTS[1].candidates[:1])

    results = run_cohorts(executor, endless())
    next(results)
    results.close()
    before = len(taken)
    assert list(results) == []
    assert len(taken) == before


def test_a_cancelled_cohort_does_not_come_back_and_the_next_ones_do(executor, expected):
    results = run_cohorts(executor, COHORTS)
    next(results)
    results.close()
    assert without_times(run_cohorts(executor, COHORTS)) == expected


def test_networks_and_scores_may_write_into_the_tensors_they_get(make, user_setup, tmp_path):
    in_place = tmp_path / "in_place"
    score = user_setup.recipe.network.module.replace(":build", ":score")  # it writes zeros into the labels
    setup = replace(user_setup, recipe=replace(user_setup.recipe, score=score))
    four = cohort(f"net = Net({str(in_place)!r})", 0, 1, 2, 3)
    with closing(make(setup)) as executor:
        copied = without_times(run_cohorts(executor, [four]))
        in_place.touch()
        written = [without_times(run_cohorts(executor, [four])) for _ in range(2)]
    assert written == [copied, copied]
    assert all(m.failure is None for m in copied[four.trials])


# --- lost cohorts ---


def test_a_cohort_that_takes_too_much_memory_is_trained_in_halves(user_executor):
    code = "if place == 2: raise MemoryError('no room')"
    failures = FailedAttempts()
    results = by_trials(run_cohorts(user_executor, [cohort(code, 0, 1, 2, 3)], failures))
    assert failures.summary() == [
        ((0, 1, 2, 3), "memory", "in halves"),
        ((2, 3), "memory", "in halves"),
        ((2,), "memory", "failed"),
    ]
    assert set(results) == {(0, 1), (2,), (3,)}
    assert [m.failure for trials in ((0, 1), (3,)) for m in results[trials]] == [None] * 3
    assert "no room" in results[(2,)][0].failure
    assert "attempt 3, the last" in results[(2,)][0].failure


def test_a_single_trial_that_takes_too_much_memory_is_tried_three_times(user_executor):
    failures = FailedAttempts()
    [(_, [failed])] = run_cohorts(user_executor, [cohort("net = nn.Linear(4, 10**13)", 7)], failures)
    assert failures.summary() == [((7,), "memory", recovery) for recovery in ("again", "again", "failed")]
    assert "allocate" in failed.failure


@pytest.mark.parametrize("error", ["RuntimeError('could not create a primitive')", "MemoryError()"])
def test_errors_of_too_little_memory_are_recognised(user_executor, error):
    failures = FailedAttempts()
    list(run_cohorts(user_executor, [cohort(f"if place == 1: raise {error}", 0, 1)], failures))
    assert {kind for _, kind, _ in failures.summary()} == {"memory"}


@in_other_processes
def test_a_worker_that_is_killed_is_replaced_and_its_cohort_has_the_same_result(user_executor, tmp_path):
    flag = tmp_path / "killed"
    kill = f"open({str(flag)!r}, 'w'); os.kill(os.getpid(), signal.SIGKILL)"
    four = cohort(f"if place == 2 and not os.path.exists({str(flag)!r}): {kill}", 0, 1, 2, 3)
    failures = FailedAttempts()
    killed = without_times(run_cohorts(user_executor, [four], failures))
    assert failures.summary() == [((0, 1, 2, 3), "crash", "again")]
    assert failures[0].worker.startswith("process ")
    assert failures[0].seconds > 0
    assert without_times(run_cohorts(user_executor, [four])) == killed


@in_other_processes
@pytest.mark.usefixtures("one_retry")
def test_a_training_that_always_kills_its_worker_is_the_only_one_to_fail(user_executor):
    failures = FailedAttempts()
    results = by_trials(run_cohorts(user_executor, [cohort("if place == 1: os._exit(3)", 0, 1)], failures))
    assert failures.summary() == [
        ((0, 1), "crash", "again"),
        ((0, 1), "crash", "in halves"),
        ((1,), "crash", "failed"),
    ]
    assert results[(0,)][0].failure is None
    assert "its worker" in results[(1,)][0].failure


@in_other_processes
@pytest.mark.usefixtures("one_retry")
def test_a_training_that_hangs_is_stopped_and_is_the_only_one_to_fail(user_executor):
    failures = FailedAttempts()
    hanging = cohort("if place == 1: time.sleep(1000)", 0, 1)
    results = by_trials(run_cohorts(user_executor, [hanging], failures, trial_seconds=0.7))
    assert failures.summary() == [
        ((0, 1), "time", "in halves"),
        ((1,), "time", "failed"),
    ]
    assert results[(1,)][0].failure == "took longer than 0.7 s (attempt 2, the last)"
    assert results[(0,)][0].failure is None


@in_other_processes
def test_a_training_that_hangs_with_child_processes_is_stopped(user_executor):
    code = "if place == 1:\n    if not os.fork(): time.sleep(15); os._exit(0)\n    time.sleep(1000)"
    results = by_trials(
        run_cohorts(user_executor, singles(code, 1, 0, 2), FailedAttempts(), trial_seconds=1.0)
    )
    assert [results[(n,)][0].failure is None for n in (0, 1, 2)] == [True, False, True]


# --- limits of workers ---


@pytest.fixture(scope="module", params=IN_OTHER_PROCESSES)
def limited_executor(request, user_setup):
    """An executor of each kind with one worker, which has a low priority and a limit of memory."""
    setup = replace(user_setup, memory_bytes=3 * 10**9, nice=7)
    with closing(executor_named(request.param, request)(setup, workers=1)) as executor:
        yield executor


def test_a_worker_takes_no_more_memory_than_its_limit(limited_executor):
    failures = FailedAttempts()
    two = cohort("torch.empty(place * 10**9, dtype=torch.uint8)", 1, 6)
    results = by_trials(run_cohorts(limited_executor, [two], failures))
    assert [kind for _, kind, _ in failures.summary()] == ["memory", "memory", "memory"]
    assert results[(1,)][0].failure is None
    assert "can't allocate memory" in results[(6,)][0].failure


def test_a_limit_below_the_memory_of_an_idle_worker_is_an_error_of_one_line(make_with_one_worker):
    executor = make_with_one_worker(replace(SETUP, memory_bytes=10**7))
    with closing(executor), pytest.raises(WorkerError, match="--memory-per-worker: a worker holds") as caught:
        list(run_cohorts(executor, COHORTS))
    assert len(str(caught.value).splitlines()) == 1


def test_workers_have_the_priority_of_the_setup(limited_executor, tmp_path):
    note = f"open('{tmp_path}/nice', 'w').write(str(os.nice(0)))"
    list(run_cohorts(limited_executor, singles(note, 0)))
    assert (tmp_path / "nice").read_text() == str(max(7, os.nice(0)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_workers_that_cannot_start_are_an_error_of_one_line(make_with_one_worker):
    executor = make_with_one_worker(replace(SETUP, device="cuda"))
    with closing(executor), pytest.raises(WorkerError, match="finds none") as caught:
        list(run_cohorts(executor, COHORTS))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", IN_OTHER_PROCESSES)
def test_workers_end_once_the_executor_is_closed(name, request, user_setup, tmp_path):
    note = f"open(f'{tmp_path}/pid{{os.getpid()}}', 'w')\nif place: time.sleep(1000)"
    executor = executor_named(name, request)(user_setup)
    next(run_cohorts(executor, singles(note, 0, 1, 2)))
    executor.close()
    pids = [int(path.name[3:]) for path in tmp_path.glob("pid*")]
    assert pids
    assert all_end(pids)
