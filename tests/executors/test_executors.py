"""What every executor must do; a new one is tested by being listed in ``EXECUTORS``."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from hebbevo.data import Split
from hebbevo.executors import Batch, LocalExecutor, local
from hebbevo.networks import Architecture
from hebbevo.training import Candidate, Recipe, train

EXECUTORS = {"local": LocalExecutor}

RECIPE = Recipe(
    Architecture("mlp", (9, 5), "stamina", False, features=4, classes=2),
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
    return EXECUTORS[request.param](RECIPE, problem(), device="cpu", workers=2, threads=1)


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


def test_local_takes_a_batch_when_a_worker_is_free():
    taken = []

    def watched():
        for batch in BATCHES:
            taken.append(batch.trials)
            yield batch

    results = LocalExecutor(RECIPE, problem(), device="cpu", workers=1, threads=1).run(watched())
    assert taken == []
    assert next(results)[0] == BATCHES[0]
    assert taken == [batch.trials for batch in BATCHES[:2]]
    assert [batch for batch, _ in results] == list(BATCHES[1:])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_local_results_do_not_depend_on_the_number_of_workers(expected, workers):
    executor = LocalExecutor(RECIPE, problem(), device="cpu", workers=workers, threads=1)
    for _ in range(3):
        assert without_times(executor.run(BATCHES)) == expected


def test_local_trains_with_its_threads_and_gives_them_back_even_after_an_error(monkeypatch):
    seen = []

    def broken(*_):
        seen.append(torch.get_num_threads())
        raise RuntimeError("broken")

    monkeypatch.setattr(local, "train", broken)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="broken"):
            next(LocalExecutor(RECIPE, problem(), device="cpu", workers=1, threads=1).run(BATCHES))
        assert (set(seen), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(threads)


def test_local_cancels_what_is_training_when_the_consumer_leaves(monkeypatch):
    stopped = []

    def train(recipe, candidates, split, device, cancelled):
        if candidates is not BATCHES[0].candidates:
            while not cancelled():
                time.sleep(0.001)
            stopped.append(True)
        return []

    monkeypatch.setattr(local, "train", train)
    results = LocalExecutor(RECIPE, problem(), device="cpu", workers=2, threads=1).run(BATCHES[:2])
    next(results)
    results.close()
    assert stopped == [True]
