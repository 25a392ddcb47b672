"""What every executor must do; a new one is tested by being listed in ``EXECUTORS``."""

import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from hebbevo.data import Split
from hebbevo.executors import Batch, ProcessExecutor, SerialExecutor, serial
from hebbevo.networks import Architecture
from hebbevo.training import Candidate, Recipe, train

EXECUTORS = {"serial": SerialExecutor, "processes": partial(ProcessExecutor, workers=2)}

RECIPE = Recipe(
    Architecture("mlp", (9, 5), "stamina", False, shape=(4,), classes=2),
    settings={"warmup": 1, "prune_period": 1, "unactivation_penalty": 2.0},
    epochs=2,
    batch_size=16,
    seed=1,
)
BATCHES = (
    Batch((0, 1), tuple(Candidate({"learning_rate": rate}, r) for rate in (0.01, 0.02) for r in (0, 1))),
    Batch((2,), (Candidate({"learning_rate": 0.03}), Candidate({"learning_rate": 0.03}, 1))),
    Batch((3, 4), (Candidate({"optimizer": "sgd"}), Candidate({"penalty_form": "ratio"}))),
)


def problem():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    x = (rng.normal(size=(80, 4)) + 2 * y[:, None]).astype(np.float32)
    ones = np.ones(4, np.float32)
    return Split(x[:40], y[:40], x[40:60], y[40:60], x[60:], y[60:], 0 * ones, ones, (0, 1))


def without_times(results):
    return {batch.trials: [replace(m, seconds=0.0) for m in measured] for batch, measured in results}


@pytest.fixture(params=EXECUTORS)
def executor(request):
    """An executor of each kind on the CPU with one thread a cohort."""
    with closing(EXECUTORS[request.param](RECIPE, problem(), device="cpu", threads=1)) as executor:
        yield executor


@pytest.fixture
def expected():
    """What `train` gives with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    results = [(batch, train(RECIPE, batch.candidates, problem(), torch.device("cpu"))) for batch in BATCHES]
    torch.set_num_threads(threads)
    return without_times(results)


def test_every_batch_comes_back_once_with_what_train_gives_bit_for_bit(executor, expected):
    results = list(executor.run(BATCHES))
    assert sorted(batch.trials for batch, _ in results) == [(0, 1), (2,), (3, 4)]
    assert all(batch in BATCHES for batch, _ in results)
    assert without_times(results) == expected


def test_results_depend_neither_on_the_order_of_batches_nor_on_this_process(executor, expected):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(77)
    try:
        results = [each for batch in reversed(BATCHES) for each in executor.run([batch])]
    finally:
        torch.set_num_threads(threads)
    assert without_times(results) == expected


def test_batches_may_come_from_an_iterator(executor, expected):
    assert without_times(executor.run(iter(BATCHES))) == expected


def test_nothing_to_do_is_nothing_done(executor):
    assert list(executor.run([])) == []


def test_a_failed_training_is_a_measurement_beside_the_others(executor):
    batch = Batch((5, 6), (Candidate({"learning_rate": 1e6}), Candidate({})))
    [(back, (failed, fine))] = executor.run([batch])
    assert back == batch
    assert "NaN or infinite at step" in failed.failure
    assert fine.failure is None


def test_pytorchs_threads_and_generator_are_as_before_at_every_result(executor):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    try:
        assert [torch.get_num_threads() for _ in executor.run(BATCHES)] == [2, 2, 2]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_more_batches_are_taken_once_the_consumer_has_stopped(executor):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield BATCHES[1]

    results = executor.run(endless())
    next(results)
    results.close()
    before = len(taken)
    assert list(results) == []
    assert len(taken) == before


@pytest.mark.parametrize("workers", [1, 3])
def test_results_do_not_depend_on_the_number_of_processes(expected, workers):
    with closing(ProcessExecutor(RECIPE, problem(), device="cpu", threads=1, workers=workers)) as executor:
        for _ in range(2):
            assert without_times(executor.run(BATCHES)) == expected


def test_serial_trains_with_its_threads_and_gives_them_back_even_after_an_error(monkeypatch):
    seen = []

    def broken(*_):
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(serial, "train", broken)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(SerialExecutor(RECIPE, problem(), device="cpu", threads=1).run(BATCHES))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(threads)


def processes_of(executor):
    return [worker._process for worker in executor._workers]


def test_a_worker_that_is_killed_fails_its_trainings_and_is_replaced(expected):
    with closing(ProcessExecutor(RECIPE, problem(), device="cpu", threads=1, workers=1)) as executor:
        [victim] = processes_of(executor)
        threading.Timer(0.2, victim.kill).start()
        [(_, lost)] = executor.run([BATCHES[0]])
        assert {m.failure for m in lost} == {
            "its worker process ended with exit code -9; perhaps out of memory"
        }
        assert len(lost) == 4
        assert without_times(executor.run(BATCHES)) == expected


def test_workers_are_gone_once_the_executor_is_closed():
    executor = ProcessExecutor(RECIPE, problem(), device="cpu", threads=1, workers=2)
    workers = processes_of(executor)
    next(executor.run(BATCHES))
    executor.close()
    assert [worker.poll() is not None for worker in workers] == [True, True]


def test_workers_are_gone_once_their_driver_is_killed():
    script = (
        "import sys, time; sys.path[:0] = [sys.argv[1]]\n"
        "from test_executors import *\n"
        "executor = ProcessExecutor(RECIPE, problem(), device='cpu', threads=1, workers=2)\n"
        "print(*(worker.pid for worker in processes_of(executor)), flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        workers = [int(pid) for pid in driver.stdout.readline().split()]
        driver.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(is_alive(pid) for pid in workers):
        time.sleep(0.05)
    assert [pid for pid in workers if is_alive(pid)] == []


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
