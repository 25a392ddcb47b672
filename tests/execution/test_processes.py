"""Worker processes: pipes, and the end of the process at their other end."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from hebbevo.execution import ProcessExecutor
from tests.execution.conftest import (
    COHORTS,
    SETUP,
    FailedAttempts,
    all_end,
    cohort,
    run_cohorts,
    singles,
    without_times,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_do_not_depend_on_the_number_of_processes(expected, workers):
    with closing(ProcessExecutor(SETUP, workers=workers)) as executor:
        for _ in range(2):
            assert without_times(run_cohorts(executor, COHORTS)) == expected


def test_workers_that_start_end_once_their_search_is_killed():
    script = (
        "import os, pathlib, time\n"
        "from hebbevo.execution import ProcessExecutor\n"
        "from tests.execution.conftest import SETUP\n"
        "executor = ProcessExecutor(SETUP, workers=2)\n"
        "print(pathlib.Path(f'/proc/self/task/{os.getpid()}/children').read_text(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as search:
        assert search.stdout is not None
        workers = [int(pid) for pid in search.stdout.readline().split()]
        search.kill()
    assert len(workers) == 2
    assert all_end(workers)


def test_a_worker_ends_when_its_input_is_closed_in_the_middle_of_a_message():
    command = [sys.executable, "-m", "hebbevo.execution.worker"]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) for _ in range(3)]
    for worker, length in zip(workers, (0, 1, 100), strict=True):
        with worker:
            assert worker.stdin is not None
            worker.stdin.write(pickle.dumps(SETUP)[:length])
            worker.stdin.close()
            worker.wait(timeout=60)


def test_an_idle_worker_that_died_unseen_is_replaced(user_setup, tmp_path):
    """The last cohort kills first the idle worker, then its own: an idle one is checked after a loss."""
    together = (
        f"open(f'{tmp_path}/pid{{os.getpid()}}', 'w')\n"
        f"while len(pids := glob.glob('{tmp_path}/pid*')) < 2: time.sleep(0.01)\n"
    )
    kill = (
        f"if not os.path.exists('{tmp_path}/killed'):\n"
        f"    open('{tmp_path}/killed', 'w')\n"
        f"    for path in glob.glob('{tmp_path}/pid*'):\n"
        "        if not path.endswith(f'pid{os.getpid()}'): kill(int(path.rpartition('pid')[2]))\n"
        "    os._exit(1)"
    )
    failures = FailedAttempts()
    with closing(ProcessExecutor(user_setup, workers=2)) as executor:
        list(run_cohorts(executor, singles(together, 0, 1)))
        pids = [int(path.name[3:]) for path in tmp_path.glob("pid*")]
        [(_, [measured])] = run_cohorts(executor, singles(kill, 2), failures)
        assert measured.failure is None
        assert failures.summary() == [((2,), "crash", "again")]
        for path in tmp_path.glob("pid*"):
            path.unlink()
        assert [m.failure for _, [m] in run_cohorts(executor, singles(together, 0, 1))] == [None, None]
    assert all_end(pids)
    assert not {int(path.name[3:]) for path in tmp_path.glob("pid*")} & {*pids}


def test_a_worker_that_was_killed_from_outside_while_idle_costs_no_attempt(user_setup, tmp_path):
    note = f"open(f'{tmp_path}/pid{{os.getpid()}}', 'w')"
    with closing(ProcessExecutor(user_setup, workers=1)) as executor:
        list(run_cohorts(executor, singles(note, 0)))
        [path] = tmp_path.glob("pid*")
        os.kill(int(path.name[3:]), signal.SIGKILL)
        while executor.free:  # the system reports the end once the last thread is gone
            time.sleep(0.01)
        [(_, [measured])] = run_cohorts(executor, singles(note, 1))
    assert measured.failure is None
    assert len([*tmp_path.glob("pid*")]) == 2


@pytest.mark.parametrize("what", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_an_interruption_that_a_network_raises_is_its_failure_and_its_worker_lives_on(user_setup, what):
    code = f"if place == 1: raise {what}"
    with closing(ProcessExecutor(user_setup, workers=1)) as executor:
        found = [measured for _, each in run_cohorts(executor, [cohort(code, 0, 1, 2)]) for measured in each]
    assert [measured.failure is None for measured in found] == [True, False, True]
    assert f"raised {what}" in found[1].failure


def test_an_interrupt_that_is_sent_to_a_worker_does_not_end_its_training(user_setup):
    code = "os.kill(os.getpid(), signal.SIGINT)"
    with closing(ProcessExecutor(user_setup, workers=1)) as executor:
        [(_, [measured])] = run_cohorts(executor, [cohort(code, 0)])
    assert measured.failure is None


def test_sets_of_texts_have_one_order_in_all_workers(user_setup, tmp_path):
    path = f"__import__('pathlib').Path('{tmp_path}', str(os.getpid()))"
    code = f"{path}.write_text(str(hash('text'))); time.sleep(0.2)"
    with closing(ProcessExecutor(user_setup, workers=2)) as executor:
        assert len([*run_cohorts(executor, singles(code, *range(4)))]) == 4
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert len({*written}) == 1
