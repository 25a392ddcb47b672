"""What every executor must do; a new one is tested by being listed in ``EXECUTORS``."""

import os
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
import torch

from hebbevo.errors import WorkerError
from hebbevo.execution import Cohort, ProcessExecutor, SerialExecutor
from hebbevo.execution.ray import RayExecutor
from hebbevo.training import Candidate
from tests.execution.conftest import BATCHES, JOB, Losses, all_gone, own_job, run, without_times

OUTSIDE = {"processes": partial(ProcessExecutor, workers=2), "ray": partial(RayExecutor, workers=2)}
"""Those whose trainings run in other processes, and so can be stopped and survived."""
EXECUTORS = {"serial": SerialExecutor, **OUTSIDE}

NET = "    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))"
FOUR = Cohort((0, 1, 2, 3), tuple(Candidate({"place": place}) for place in range(4)))


@pytest.fixture(params=EXECUTORS)
def make(request, ray_cluster):
    """Makes an executor of each kind."""
    return EXECUTORS[request.param]


@pytest.fixture(params=OUTSIDE)
def make_outside(request, ray_cluster):
    """Makes an executor of each kind that trains outside this process."""
    return OUTSIDE[request.param]


@pytest.fixture
def executor(make):
    with closing(make(JOB)) as executor:
        yield executor


def test_every_batch_comes_back_once_with_what_train_gives_bit_for_bit(executor, expected):
    results = list(run(executor, BATCHES))
    assert sorted(batch.trials for batch, _ in results) == [(0, 1), (2,), (3, 4)]
    assert all(batch in BATCHES for batch, _ in results)
    assert without_times(results) == expected


def test_results_depend_neither_on_the_order_of_batches_nor_on_this_process(executor, expected):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(77)
    try:
        results = [each for batch in reversed(BATCHES) for each in run(executor, [batch])]
    finally:
        torch.set_num_threads(threads)
    assert without_times(results) == expected


def test_batches_may_come_from_an_iterator(executor, expected):
    assert without_times(run(executor, iter(BATCHES))) == expected


def test_nothing_to_do_is_nothing_done(executor):
    assert list(run(executor, [])) == []


def test_a_failed_training_is_a_measurement_beside_the_others(executor):
    batch = Cohort((5, 6), (Candidate({"learning_rate": 1e6}), Candidate({})))
    [(back, (failed, fine))] = run(executor, [batch])
    assert back == batch
    assert "NaN or infinite at step" in failed.failure
    assert fine.failure is None


def test_pytorchs_threads_and_generator_are_as_before_at_every_result(executor):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    try:
        assert [torch.get_num_threads() for _ in run(executor, BATCHES)] == [2, 2, 2]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_more_batches_are_taken_once_the_consumer_has_stopped(executor):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield Cohort((len(taken),), BATCHES[1].candidates[:1])

    results = run(executor, endless())
    next(results)
    results.close()
    before = len(taken)
    assert list(results) == []
    assert len(taken) == before


def test_what_was_given_up_does_not_come_back_and_the_next_batches_do(executor, expected):
    results = run(executor, BATCHES)
    next(results)
    results.close()
    assert without_times(run(executor, BATCHES)) == expected


def test_networks_and_scores_may_write_into_what_they_are_given(make, folder):
    own = (
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.linear = nn.Linear(4, 2)\n"
        "    def forward(self, x):\n"
        "        HALVE\n"
        "        return self.linear(x)\n"
        "def build(place): return Net()\n"
        "def score(outputs, labels):\n"
        "    hits = (outputs.argmax(-1) == labels).double().mean()\n"
        "    labels.zero_()\n"
        "    return hits\n"
    )
    results = []
    for halve in ("x = x / 2", "x.div_(2)"):
        job = own_job(folder, own.replace("HALVE", halve))
        score = job.recipe.network.module.replace(":build", ":score")
        with closing(make(replace(job, recipe=replace(job.recipe, score=score)))) as executor:
            results.append(without_times(run(executor, [FOUR])))
    assert results[0] == results[1]
    assert all(m.failure is None for m in results[0][FOUR.trials])


def test_a_cohort_that_takes_too_much_memory_is_trained_in_halves(make, folder):
    own = "def build(place):\n    if place == 2: raise MemoryError('no room')\n" + NET
    losses = Losses()
    with closing(make(own_job(folder, own))) as executor:
        results = {b.trials: m for b, m in run(executor, [FOUR], losses)}
    assert losses.told() == [
        ((0, 1, 2, 3), "memory", "in halves"),
        ((2, 3), "memory", "in halves"),
        ((2,), "memory", "failed"),
    ]
    assert set(results) == {(0, 1), (2,), (3,)}
    assert [m.failure for t in ((0, 1), (3,)) for m in results[t]] == [None] * 3
    assert "no room" in results[(2,)][0].failure
    assert "attempt 3, the last" in results[(2,)][0].failure


def test_one_that_alone_takes_too_much_memory_is_tried_three_times(make, folder):
    own = "def build(place): return nn.Linear(4, 10**13)"
    losses = Losses()
    with closing(make(own_job(folder, own))) as executor:
        [(_, [failed])] = run(executor, [Cohort((7,), (Candidate({"place": 1}),))], losses)
    assert losses.told() == [((7,), "memory", then) for then in ("again", "again", "failed")]
    assert "allocate" in failed.failure


def test_a_worker_that_is_killed_is_replaced_and_its_cohort_comes_to_the_same(make_outside, folder):
    def build(how):
        return f"def build(place):\n    was = f'{{FOLDER}}/was'\n    {how}\n{NET}"

    kill = "open(was, 'w'); os.kill(os.getpid(), signal.SIGKILL)"
    once = f"if place == 2 and not os.path.exists(was): {kill}"
    results, losses = [], Losses()
    for how in ("pass", once):
        with closing(make_outside(own_job(folder, build(how)))) as executor:
            results.append(without_times(run(executor, [FOUR], losses)))
    assert results[0] == results[1]
    assert losses.told() == [((0, 1, 2, 3), "crash", "again")]
    assert losses[0].worker.startswith("process ")
    assert losses[0].seconds > 0


def test_a_training_that_always_kills_its_worker_takes_no_others_with_it(make_outside, folder):
    own = f"def build(place):\n    if place == 2: os._exit(3)\n{NET}"
    losses = Losses()
    with closing(make_outside(own_job(folder, own))) as executor:
        results = {b.trials: m for b, m in run(executor, [FOUR], losses)}
    assert losses.told() == [
        ((0, 1, 2, 3), "crash", "again"),
        ((0, 1, 2, 3), "crash", "again"),
        ((0, 1, 2, 3), "crash", "in halves"),
        ((2, 3), "crash", "in halves"),
        ((2,), "crash", "failed"),
    ]
    failures = {trials: [m.failure for m in measured] for trials, measured in results.items()}
    assert (failures[(0, 1)], failures[(3,)]) == ([None, None], [None])
    assert "its worker" in failures[(2,)][0]


def test_a_training_that_hangs_is_stopped_and_takes_no_others_with_it(make_outside, folder):
    own = f"def build(place):\n    if place == 1: time.sleep(1000)\n{NET}"
    losses = Losses()
    with closing(make_outside(own_job(folder, own))) as executor:
        results = {b.trials: m for b, m in run(executor, [FOUR], losses, limit=0.7)}
    assert losses.told() == [
        ((0, 1, 2, 3), "time", "in halves"),
        ((0, 1), "time", "in halves"),
        ((1,), "time", "failed"),
    ]
    assert results[(1,)][0].failure == "took longer than 0.7 s (attempt 3, the last)"
    assert [m.failure for trials, ms in results.items() for m in ms if trials != (1,)] == [None] * 3


def test_a_worker_holds_no_more_memory_than_it_may(make_outside, folder):
    own = f"def build(place):\n    torch.ones(place * 10**9 // 4)\n{NET}"
    losses = Losses()
    with closing(make_outside(own_job(folder, own, memory=3 * 10**9))) as executor:
        batch = Cohort((0, 1), (Candidate({"place": 1}), Candidate({"place": 6})))
        results = {b.trials: m for b, m in run(executor, [batch], losses)}
    assert [fault for _, fault, _ in losses.told()] == ["memory", "memory", "memory"]
    assert results[(0,)][0].failure is None
    assert "can't allocate memory" in results[(1,)][0].failure


def test_workers_give_way_as_they_are_told(make_outside, folder):
    own = f"def build(place):\n    open(f'{{FOLDER}}/nice', 'w').write(str(os.nice(0)))\n{NET}"
    with closing(make_outside(own_job(folder, own, nice=7))) as executor:
        list(run(executor, [Cohort((0,), (Candidate({"place": 0}),))]))
    assert (folder / "nice").read_text() == str(max(7, os.nice(0)))


def test_workers_that_cannot_begin_are_told_of_in_one_line(make_outside):
    executor = make_outside(own_job_on_a_gpu())
    with closing(executor), pytest.raises(WorkerError, match="finds none") as caught:
        list(run(executor, BATCHES))
    assert len(str(caught.value).splitlines()) == 1


def own_job_on_a_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    return replace(JOB, device="cuda")


def test_a_training_that_hangs_with_processes_of_its_own_is_stopped_too(make_outside, folder):
    own = (
        "def build(place):\n"
        "    if place == 1:\n"
        "        if not os.fork(): time.sleep(15); os._exit(0)\n"
        f"        time.sleep(1000)\n{NET}"
    )
    losses = Losses()
    with closing(make_outside(own_job(folder, own))) as executor:
        batches = [Cohort((n,), (Candidate({"place": n}),)) for n in (1, 0, 2)]
        results = {b.trials: m for b, m in run(executor, batches, losses, limit=1.0)}
    assert [results[(n,)][0].failure is None for n in (0, 1, 2)] == [True, False, True]


@pytest.mark.parametrize("error", ["RuntimeError('could not create a primitive')", "MemoryError()"])
def test_want_of_memory_is_told_from_what_fails(make, folder, error):
    own = f"def build(place):\n    if place == 3: raise {error}\n{NET}"
    losses = Losses()
    with closing(make(own_job(folder, own))) as executor:
        list(run(executor, [FOUR], losses))
    assert {fault for _, fault, _ in losses.told()} == {"memory"}


def test_less_memory_than_a_worker_takes_by_itself_is_one_line(make_outside):
    executor = make_outside(replace(JOB, memory=10**7))
    with closing(executor), pytest.raises(WorkerError, match="--memory-per-worker: a worker holds") as caught:
        list(run(executor, BATCHES))
    assert len(str(caught.value).splitlines()) == 1


def test_workers_are_gone_once_the_executor_is_closed(make_outside, folder):
    own = f"def build(place):\n    open(f'{{FOLDER}}/pid{{os.getpid()}}', 'w'); time.sleep(0.2)\n{NET}"
    executor = make_outside(own_job(folder, own))
    batches = [Cohort((n,), (Candidate({"place": n}),)) for n in range(8)]
    next(run(executor, batches))
    executor.close()
    pids = [int(path.name[3:]) for path in folder.glob("pid*")]
    assert pids
    assert all_gone(pids)
