"""What worker processes add: pipes, and the end of those who held the other end."""

import pickle
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hebbevo.execution import ProcessExecutor
from tests.execution.conftest import BATCHES, JOB, all_gone, run, without_times


@pytest.mark.parametrize("workers", [1, 3])
def test_results_do_not_depend_on_the_number_of_processes(expected, workers):
    with closing(ProcessExecutor(JOB, workers=workers)) as executor:
        for _ in range(2):
            assert without_times(run(executor, BATCHES)) == expected


def test_workers_are_gone_once_their_driver_is_killed():
    script = (
        "import sys, time; sys.path[:0] = [sys.argv[1]]\n"
        "from conftest import *\n"
        "from hebbevo.execution import ProcessExecutor\n"
        "executor = ProcessExecutor(JOB, workers=2)\n"
        "print(*(worker._process.pid for worker in executor._starting.values()), flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        workers = [int(pid) for pid in driver.stdout.readline().split()]
        driver.kill()
    assert len(workers) == 2
    assert all_gone(workers, seconds=30)


@pytest.mark.parametrize("part", [0, 1, 100])
def test_a_worker_whose_driver_is_killed_in_the_middle_of_a_word_is_gone(part):
    command = [sys.executable, "-m", "hebbevo.execution.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as it:
        assert it.stdin is not None
        it.stdin.write(pickle.dumps(JOB)[:part])
        it.stdin.close()
        it.wait(timeout=60)


def test_a_worker_that_died_unseen_says_so_when_asked_and_is_replaced(expected):
    with closing(ProcessExecutor(JOB, workers=1)) as executor:
        list(run(executor, BATCHES[:1]))
        worker = executor._idle.pop()
        worker._process.kill()
        worker._process.wait()
        executor._starting[worker.begin()] = worker
        assert without_times(run(executor, BATCHES)) == expected
