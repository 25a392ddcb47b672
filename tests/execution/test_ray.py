"""What only Ray does: nodes that come and go, GPUs, shared data, and clusters that exist already."""

import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hebbevo.errors import UsageError
from hebbevo.execution.ray import RayExecutor, ray
from tests.execution.conftest import (
    COHORTS,
    SETUP,
    FailedAttempts,
    all_end,
    run_cohorts,
    singles,
    two_classes,
    without_times,
)

ROOT = Path(__file__).parents[2]
QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


@pytest.fixture(autouse=True)
def disconnected():
    """After each test this process is connected to no cluster."""
    yield
    ray.shutdown()


@pytest.fixture
def connected(ray_address):
    """This process is connected to the cluster that the tests share."""
    ray.init(address=ray_address, **QUIET)


@pytest.fixture(scope="module")
def nodes():
    """A cluster whose first node has no room for workers; tests add nodes and remove them."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def noted(folder):
    """Process to text, as noted by `note`."""
    return {int(path.name[4:]): path.read_text() for path in folder.glob("note*")}


def note(folder, text="''", until=1):
    """Code that notes a text for its process, and waits until so many processes have done that."""
    return (
        f"open(f'{folder}/note{{os.getpid()}}', 'w').write({text})\n"
        f"while len(glob.glob('{folder}/note*')) < {until}: time.sleep(0.01)\n"
    )


# --- nodes ---


def test_a_lost_node_costs_no_cohort_and_changes_no_result(nodes, user_setup, tmp_path):
    lost = tmp_path / "lost"
    lost.touch()
    train_on_the_other_node = (
        "from ray import get_runtime_context\n"
        f"while open({str(lost)!r}).read() in ('', get_runtime_context().get_node_id()): time.sleep(0.01)"
    )
    cohorts = singles(note(tmp_path) + train_on_the_other_node, *range(8))
    failures = FailedAttempts()
    first, second = (nodes.add_node(num_cpus=1) for _ in range(2))

    def lose_node_once_both_train():
        if len(noted(tmp_path)) == 2 and not lost.read_text():
            nodes.remove_node(second, allow_graceful=False)
            lost.write_text(second.node_id)
        return False

    with closing(RayExecutor(user_setup, address=nodes.address)) as executor:  # a worker for each node
        results = list(run_cohorts(executor, cohorts, failures, must_stop=lose_node_once_both_train))
        assert second not in nodes.list_all_nodes() and first in nodes.list_all_nodes()
    assert sorted(cohort.trials for cohort, _ in results) == [(n,) for n in range(8)]
    assert {(kind, recovery) for _, kind, recovery in failures.summary()} == {("crash", "again")}
    with closing(RayExecutor(user_setup, address=nodes.address, workers=1)) as executor:
        assert without_times(run_cohorts(executor, cohorts)) == without_times(results)
    nodes.remove_node(first)


def test_a_node_that_joins_is_used_and_until_then_the_user_is_notified(nodes, expected, monkeypatch):
    monkeypatch.setattr("hebbevo.execution.worker_pool.NOTICE_AFTER", 0.5)
    notices, added = [], []

    def may_start():
        if notices and not added:
            added.append(nodes.add_node(num_cpus=1))
        return True

    with closing(RayExecutor(SETUP, address=nodes.address, workers=1, notify=notices.append)) as executor:
        assert without_times(run_cohorts(executor, COHORTS, may_start=may_start)) == expected
    [line] = notices
    assert line.startswith("waiting for Ray to start a worker; free in the cluster: ")
    assert "CPU" not in line
    nodes.remove_node(*added)


# --- resources ---


@pytest.mark.parametrize(("gpus", "workers"), [(1, ["0", "1"]), (0.5, ["0", "0", "1", "1"])])
def test_each_worker_sees_its_own_gpu_and_two_may_share_one(connected, user_setup, tmp_path, gpus, workers):
    code = note(tmp_path, "os.environ['CUDA_VISIBLE_DEVICES']", until=len(workers))
    with closing(RayExecutor(user_setup, gpus=gpus)) as executor:  # the device is a CPU all the same
        list(run_cohorts(executor, singles(code, *range(len(workers)))))
        assert sorted(noted(tmp_path).values()) == workers
        [one] = singles(code, 9)
        executor.submit(one)  # a worker writes its note again, perhaps not to the end
        assert ", GPU " in executor.cancel(one)  # which gives the name of the worker


@pytest.mark.parametrize(
    ("gpus", "memory", "needs"), [(7, None, "1 CPU, 7 GPU"), (0, 10**15, "1 CPU, 1e+06 GB")]
)
def test_a_worker_that_is_too_large_for_this_machine_is_an_error_of_one_line(connected, gpus, memory, needs):
    with pytest.raises(UsageError) as caught:
        RayExecutor(replace(SETUP, memory_bytes=memory), gpus=gpus)
    assert str(caught.value).startswith(f"--executor ray: a worker needs {needs}, and this machine has ")
    assert len(str(caught.value).splitlines()) == 1


def test_each_node_holds_the_data_once_and_its_workers_read_them_there(connected, user_setup, tmp_path):
    rows = 2_000_000
    large = np.zeros((rows, 4), np.float32)  # 32 MB
    split = replace(two_classes(), x_test=large, y_test=np.zeros(rows, np.int64))
    is_copied = (
        "import gc\n"
        "from hebbevo.execution import WorkerSetup\n"
        "[setup] = [each for each in gc.get_objects() if isinstance(each, WorkerSetup)]\n"
        "arrays = [setup.split.x_train, setup.split.x_test]\n"
        "copied = [bool(array.flags.owndata or array.flags.writeable) for array in arrays]\n"
    )
    code = is_copied + note(tmp_path, "str(copied)", until=2)
    with closing(RayExecutor(replace(user_setup, split=split), workers=2)) as executor:
        list(run_cohorts(executor, singles(code, 0, 1)))
    assert list(noted(tmp_path).values()) == ["[False, False]"] * 2


# --- clusters ---


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere.invalid:6379", "nonsense"])
def test_an_address_without_a_cluster_is_an_error_of_one_line(address):
    with pytest.raises(UsageError, match=f"--ray-address: {address} cannot be reached") as caught:
        RayExecutor(SETUP, address=address)
    assert len(str(caught.value).splitlines()) == 1
    assert not ray.is_initialized()


def test_a_connection_from_before_stays(connected, expected):
    with closing(RayExecutor(SETUP, workers=1)) as executor:
        assert without_times(run_cohorts(executor, COHORTS)) == expected
    assert ray.is_initialized()


def listening_addresses():
    """Local addresses, as Linux writes them, at which processes wait for connections, by table."""
    addresses = set()
    for version in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{version}").read_text().splitlines()[1:]:
            address, state, inode = (line.split()[i] for i in (1, 3, 9))
            if state == "0A":
                addresses.add((address.partition(":")[0], inode))
    return addresses


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "0" * 24 + "01000000"}


def test_ray_started_by_an_executor_is_private_can_be_reached_from_this_machine_only_and_ends_with_it():
    from ray._common.usage import usage_lib

    before = listening_addresses()
    with closing(RayExecutor(SETUP, workers=1)) as executor:
        assert ray.is_initialized()
        assert not usage_lib.usage_stats_enabled()
        assert not ray._private.worker._global_node.address_info["webui_url"]  # no dashboard
        list(run_cohorts(executor, COHORTS[:1]))  # all its processes run by now
        new = {address for address, _ in listening_addresses() - before}
    assert new and new <= LOOPBACK
    assert not ray.is_initialized()


def test_ray_started_by_an_executor_that_fails_ends():
    with pytest.raises(UsageError, match="a worker needs"):
        RayExecutor(SETUP, gpus=7)
    assert not ray.is_initialized()


def test_it_works_without_a_network_and_with_the_tokens_that_are_rays_default(tmp_path):
    without_network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*without_network, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to cut the network")
    search = ["-m", "hebbevo", "search", "--space", "stamina", "--trials", "8", "--population", "4"]
    short = ["--epochs", "1", "--executor", "ray", "--workers", "2"]
    command = [*without_network, sys.executable, *search, *short]
    default = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=default)
    assert done.returncode == 0, done.stderr
    assert "8/8 trials" in done.stderr


def test_workers_on_a_cluster_end_once_their_search_is_killed(ray_address, tmp_path):
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from hebbevo.execution.ray import RayExecutor\n"
        "from tests.execution.conftest import run_cohorts, singles, user_setup_in\n"
        "setup = user_setup_in(Path(sys.argv[1]))\n"
        "code = f\"open(f'{sys.argv[1]}/note{{os.getpid()}}', 'w'); time.sleep(1000)\"\n"
        "list(run_cohorts(RayExecutor(setup, workers=2, address=sys.argv[2]), singles(code, 0, 1)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path), ray_address], cwd=ROOT) as search:
        deadline = time.monotonic() + 60
        while len(pids := [*noted(tmp_path)]) < 2:
            assert time.monotonic() < deadline and search.poll() is None
            time.sleep(0.05)
        search.kill()
    assert all_end(pids)


def test_ray_is_imported_only_where_it_is_used():
    script = (
        "import sys, hebbevo, hebbevo.outer.driver, hebbevo.execution, hebbevo.cli.commands\n"
        "hebbevo.execution.ProcessExecutor\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'ray'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_ray_that_does_not_start_on_this_machine_is_refused_in_one_line(monkeypatch):
    def init(**_):
        raise Exception("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(UsageError, match="Ray does not start on this machine") as caught:
        RayExecutor(SETUP, workers=1)
    assert "\n" not in str(caught.value)
    assert "--executor local" in str(caught.value)
