"""What Ray adds: nodes that come and go, GPUs, data that are held once, and other people's clusters."""

import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hebbevo.errors import UsageError
from hebbevo.execution import Cohort
from hebbevo.execution.ray import RayExecutor, ray
from hebbevo.training import Candidate
from tests.execution.conftest import BATCHES, JOB, Losses, all_gone, own_job, problem, run, without_times

QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


@pytest.fixture(autouse=True)
def disconnected():
    """Each test has a cluster of its own."""
    yield
    ray.shutdown()


@pytest.fixture
def cluster():
    """A cluster whose head has no room for workers, so that a node can be lost."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def single(n):
    return Cohort((n,), (Candidate({"place": n}),))


NET = "    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))"


def seen(folder, name="seen"):
    return {path.name: path.read_text() for path in folder.glob(f"{name}*")}


def test_a_lost_node_loses_no_cohort_and_changes_no_result(cluster, folder):
    own = f"def build(place):\n    open(f'{{FOLDER}}/seen{{os.getpid()}}', 'w'); time.sleep(0.4)\n{NET}"
    batches = [single(n) for n in range(8)]
    job, losses = own_job(folder, own), Losses()
    first, second = (cluster.add_node(num_cpus=1) for _ in range(2))
    with closing(RayExecutor(job, address=cluster.address)) as executor:
        assert len(executor._starting) == 2  # one a node, without being told
        results = run(executor, batches, losses)
        got = [next(results)]
        cluster.remove_node(second, allow_graceful=False)
        got += results
        assert cluster.list_all_nodes() and first in cluster.list_all_nodes()
    assert sorted(batch.trials for batch, _ in got) == [(n,) for n in range(8)]
    assert {(fault, then) for _, fault, then in losses.told()} == {("crash", "again")}
    with closing(RayExecutor(job, address=cluster.address, workers=1)) as executor:
        assert without_times(run(executor, batches)) == without_times(got)


def test_a_node_that_joins_is_used_and_until_then_the_user_is_told(cluster, expected, monkeypatch):
    monkeypatch.setattr("hebbevo.execution.worker_pool._PATIENCE", 0.5)
    told = []

    def going_on():  # which is asked while nobody is there
        if told and len(cluster.list_all_nodes()) == 1:
            cluster.add_node(num_cpus=1)
        return True

    with closing(RayExecutor(JOB, address=cluster.address, workers=1, tell=told.append)) as executor:
        assert without_times(run(executor, BATCHES, going_on=going_on)) == expected
    [line] = told
    assert line.startswith("waiting for Ray to give room to a worker; free in the cluster: ")
    assert "CPU" not in line


def test_each_worker_sees_its_own_gpu_and_two_may_share_one(folder):
    ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, **QUIET)
    own = (
        "def build(place):\n"
        "    gpus = os.environ['CUDA_VISIBLE_DEVICES']\n"
        f"    open(f'{{FOLDER}}/seen{{os.getpid()}}', 'w').write(gpus); time.sleep(0.5)\n{NET}"
    )
    job = own_job(folder, own)  # the device is a CPU all the same
    for gpus, workers in ((1, ["0", "1"]), (0.5, ["0", "0", "1", "1"])):
        with closing(RayExecutor(job, gpus=gpus)) as executor:
            list(run(executor, [single(n) for n in range(12)]))
            name = executor._idle[0].name
        assert sorted(seen(folder).values()) == workers
        assert ", GPU " in name
        for path in folder.glob("seen*"):
            path.unlink()


def test_a_worker_that_this_machine_has_no_room_for_is_one_line():
    for gpus, memory, wants in ((7, None, "1 CPU, 7 GPU"), (0, 10**15, "1 CPU, 1e+06 GB")):
        with pytest.raises(UsageError) as caught:
            RayExecutor(replace(JOB, memory=memory), gpus=gpus)
        told = str(caught.value)
        assert told.startswith(f"--executor ray: a worker wants {wants}, and this machine has ")
        assert len(told.splitlines()) == 1
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere.invalid:6379", "nonsense"])
def test_an_address_without_a_cluster_is_one_line(address):
    with pytest.raises(UsageError, match=f"--ray-address: {address} cannot be reached") as caught:
        RayExecutor(JOB, address=address)
    assert len(str(caught.value).splitlines()) == 1
    assert not ray.is_initialized()


def test_it_works_with_the_network_cut(tmp_path):
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to cut the network")
    search = ["-m", "hebbevo", "search", "--space", "stamina", "--trials", "8", "--population", "4"]
    short = ["--epochs", "1", "--executor", "ray", "--workers", "2"]
    done = subprocess.run(
        [*alone, sys.executable, *search, *short], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "8/8 trials" in done.stderr


def test_the_data_are_held_once_and_read_where_they_are(folder):
    rows = 2_000_000
    big = problem()
    x = np.zeros((rows, 4), np.float32)  # 32 MB
    split = replace(big, x_test=x, y_test=np.zeros(rows, np.int64))
    own = (
        "import gc\nfrom hebbevo.execution import Job\n"
        "def build(place):\n"
        "    [job] = [each for each in gc.get_objects() if isinstance(each, Job)]\n"
        "    parts = [job.split.x_train, job.split.x_test]\n"
        "    held = [bool(part.flags.owndata or part.flags.writeable) for part in parts]\n"
        f"    open(f'{{FOLDER}}/seen{{os.getpid()}}', 'w').write(str(held)); time.sleep(0.3)\n{NET}"
    )
    with closing(RayExecutor(replace(own_job(folder, own), split=split), workers=2)) as executor:
        list(run(executor, [single(n) for n in range(4)]))
    assert list(seen(folder).values()) == ["[False, False]"] * 2


def test_ray_that_was_started_before_stays(expected):
    ray.init(address="local", num_cpus=2, include_dashboard=False, **QUIET)
    with closing(RayExecutor(JOB, workers=1)) as executor:
        assert without_times(run(executor, BATCHES)) == expected
    assert ray.is_initialized()


def test_ray_that_was_started_here_ends():
    executor = RayExecutor(JOB, workers=1)
    assert ray.is_initialized()
    executor.close()
    assert not ray.is_initialized()


def test_nothing_is_reported_home_and_there_is_no_dashboard():
    from ray._common.usage import usage_lib

    with closing(RayExecutor(JOB, workers=1)):
        assert not usage_lib.usage_stats_enabled()
        assert not ray._private.worker._global_node.address_info["webui_url"]


def test_workers_are_gone_once_their_driver_is_killed(folder):
    script = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from conftest import *\n"
        "from pathlib import Path\n"
        "from hebbevo.execution.ray import RayExecutor\n"
        'own = \'def build(place):\\n    open(f"{FOLDER}/pid{os.getpid()}", "w"); time.sleep(1000)\'\n'
        "job = own_job(Path.cwd(), own)\n"
        "batches = [Cohort((n,), (Candidate({'place': n}),)) for n in range(2)]\n"
        "list(run(RayExecutor(job, workers=2), batches))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(Path(__file__).parent)]) as driver:
        deadline = time.monotonic() + 60
        while len(pids := [int(path.name[3:]) for path in folder.glob("pid*")]) < 2:
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.1)
        driver.kill()
    assert all_gone(pids, seconds=60)


def test_ray_is_imported_by_nobody_who_does_not_use_it():
    script = (
        "import sys, hebbevo, hebbevo.outer.driver, hebbevo.execution, hebbevo.cli.commands\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'ray'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
