"""A job of three small cohorts, and what becomes of it in this process."""

import itertools
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hebbevo.data import Split
from hebbevo.execution import Cohort, WorkerSetup, dispatch
from hebbevo.networks import Architecture, UserNetwork
from hebbevo.training import Candidate, Recipe, train

RECIPE = Recipe(
    Architecture("mlp", (9, 5), "stamina", False, shape=(4,), classes=2),
    settings={"warmup": 1, "prune_period": 1, "unactivation_penalty": 2.0},
    epochs=2,
    batch_size=16,
    seed=1,
)
BATCHES = (
    Cohort((0, 1), tuple(Candidate({"learning_rate": rate}, r) for rate in (0.01, 0.02) for r in (0, 1))),
    Cohort((2,), (Candidate({"learning_rate": 0.03}), Candidate({"learning_rate": 0.03}, 1))),
    Cohort((3, 4), (Candidate({"optimizer": "sgd"}), Candidate({"penalty_form": "ratio"}))),
)


def problem():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    x = (rng.normal(size=(80, 4)) + 2 * y[:, None]).astype(np.float32)
    ones = np.ones(4, np.float32)
    return Split(x[:40], y[:40], x[40:60], y[40:60], x[60:], y[60:], 0 * ones, ones, (0, 1))


JOB = WorkerSetup(RECIPE, problem(), "cpu", 1)


_NUMBERS = itertools.count()


def own_job(folder, body, **changes):
    """A job whose networks are built by a function of the user's own, ``build(place)`` in ``body``."""
    name = f"own_{next(_NUMBERS)}_{folder.name.replace('-', '_')}"
    head = f"import os, signal, time\nimport torch\nfrom torch import nn\nFOLDER = {str(folder)!r}\n"
    (folder / f"{name}.py").write_text(f"{head}{body}\n")
    recipe = replace(RECIPE, network=UserNetwork(f"{name}:build", (4,), 2), settings={})
    return replace(JOB, recipe=recipe, **changes)


def without_times(results):
    return {batch.trials: [replace(m, seconds=0.0) for m in measured] for batch, measured in results}


class Losses(list):
    """Attempts that came to nothing."""

    def told(self):
        return [(each.trials, str(each.fault), str(each.then)) for each in self]


def run(executor, batches, losses=None, limit=float("inf"), going_on=lambda: True, at_once=lambda: False):
    """Results as they come; a loss that nobody expects is an error."""

    def unexpected(attempt):
        raise AssertionError(attempt)

    lost = unexpected if losses is None else losses.append
    return dispatch(executor, batches, limit=limit, going_on=going_on, at_once=at_once, lost=lost)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def all_gone(pids, seconds=20.0):
    """Whether these processes end within some time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(is_alive, pids)):
        time.sleep(0.05)
    return not any(map(is_alive, pids))


@pytest.fixture(scope="module")
def ray_cluster():
    """Ray on this machine, which pretends to have two GPUs."""
    import ray

    import hebbevo.execution.ray  # noqa: F401  its settings come first

    quiet = {"log_to_driver": False, "include_dashboard": False, "logging_level": "ERROR"}
    ray.init(address="local", num_cpus=2, num_gpus=2, **quiet)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def expected():
    """What `train` gives with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    results = [(batch, train(RECIPE, batch.candidates, problem(), torch.device("cpu"))) for batch in BATCHES]
    torch.set_num_threads(threads)
    return without_times(results)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory for code of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(os.getcwd())
    return tmp_path
