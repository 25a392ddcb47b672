"""A small setup with three cohorts, user code that each test chooses, and a Ray cluster on this machine."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hebbevo.data import Split
from hebbevo.execution import Cohort, WorkerSetup, dispatch_cohorts
from hebbevo.networks import Architecture, UserNetwork
from hebbevo.training import Candidate, Recipe, train

RECIPE = Recipe(
    Architecture("mlp", (9, 5), "stamina", False, shape=(4,), classes=2),
    settings={"warmup": 1, "prune_period": 1, "unactivation_penalty": 2.0},
    epochs=2,
    batch_size=16,
    seed=1,
)
COHORTS = (
    Cohort((0, 1), tuple(Candidate({"learning_rate": rate}, r) for rate in (0.01, 0.02) for r in (0, 1))),
    Cohort((2,), (Candidate({"learning_rate": 0.03}), Candidate({"learning_rate": 0.03}, 1))),
    Cohort((3, 4), (Candidate({"optimizer": "sgd"}), Candidate({"penalty_form": "ratio"}))),
)


def two_classes() -> Split:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    x = (rng.normal(size=(80, 4)) + 2 * y[:, None]).astype(np.float32)
    ones = np.ones(4, np.float32)
    return Split(x[:40], y[:40], x[40:60], y[40:60], x[60:], y[60:], 0 * ones, ones, (0, 1))


SETUP = WorkerSetup(RECIPE, two_classes(), "cpu", 1)

RUNS_ITS_GENOME = """\
import contextlib, glob, os, signal, time
import torch
from torch import nn


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):  # the system has forgotten the process
        # the end is reported once the last thread has ended, too
        while not (has_ended(pid) and len(os.listdir(f"/proc/{pid}/task")) == 1):
            time.sleep(0.01)


def has_ended(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"


class Net(nn.Module):
    def __init__(self, in_place_flag):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.in_place_flag = in_place_flag

    def forward(self, x):
        x = x.div_(2) if os.path.exists(self.in_place_flag) else x / 2
        return self.linear(x)


def build(place, code):
    names = {**globals(), "place": place}
    exec(code, names)
    return names.get("net", nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)))


def score(outputs, labels):
    hits = (outputs.argmax(-1) == labels).double().mean()
    labels.zero_()
    return hits
"""


def user_setup_in(folder: Path) -> WorkerSetup:
    """A setup for cohorts of `cohort`. The folder must be on the path of modules."""
    (folder / "runs_its_genome.py").write_text(RUNS_ITS_GENOME)
    network = UserNetwork("runs_its_genome:build", (4,), 2)
    return replace(SETUP, recipe=replace(RECIPE, network=network, settings={}))


def cohort(code: str, *places: int) -> Cohort:
    """A cohort with one trial per place. Its network runs the code, which knows its ``place``.

    The code may assign another network to ``net``.
    """
    return Cohort(places, tuple(Candidate({"place": place, "code": code}) for place in places))


def singles(code: str, *places: int) -> list[Cohort]:
    """A cohort like `cohort` for each place."""
    return [cohort(code, place) for place in places]


class FailedAttempts(list):
    def summary(self):
        return [(each.trials, str(each.kind), str(each.recovery)) for each in self]


def run_cohorts(
    executor,
    cohorts,
    failures=None,
    trial_seconds=float("inf"),
    may_start=lambda: True,
    must_stop=lambda: False,
    meanwhile=None,
):
    """Results as the cohorts end. Without a list for ``failures``, a failed attempt is an error."""

    def unexpected(attempt):
        raise AssertionError(attempt)

    return dispatch_cohorts(
        executor,
        cohorts,
        trial_seconds=trial_seconds,
        may_start=may_start,
        must_stop=must_stop,
        on_failure=unexpected if failures is None else failures.append,
        meanwhile=meanwhile,
    )


def by_trials(results):
    return {cohort.trials: measured for cohort, measured in results}


def without_times(results):
    return {cohort.trials: [replace(m, seconds=0.0) for m in measured] for cohort, measured in results}


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def all_end(pids, seconds=60.0):
    """Whether all these processes end within some time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(map(is_alive, pids)):
        time.sleep(0.02)
    return not any(map(is_alive, pids))


@pytest.fixture(scope="session")
def user_setup(tmp_path_factory):
    """A setup for cohorts of `cohort`."""
    folder = tmp_path_factory.mktemp("user_code")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield user_setup_in(folder)


@pytest.fixture(scope="session")
def ray_address():
    """Address of a Ray cluster on this machine, which pretends to have eight cores and two GPUs."""
    import hebbevo.execution.ray  # noqa: F401  it configures Ray before the first import of Ray

    from ray.cluster_utils import Cluster  # isort: skip

    head = {"num_cpus": 8, "num_gpus": 2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def ray_cluster(ray_address):
    """A connection of this process to that cluster."""
    import ray

    ray.init(address=ray_address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def expected():
    """What `train` gives for the cohorts with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    device = torch.device("cpu")
    results = [(each, train(RECIPE, each.candidates, two_classes(), device)) for each in COHORTS]
    torch.set_num_threads(threads)
    return without_times(results)
