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

from hebbevo.errors import WorkerError
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


@pytest.fixture(scope="module")
def one_worker(user_setup):
    with closing(ProcessExecutor(user_setup, workers=1)) as executor:
        yield executor


@pytest.mark.parametrize("what", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_an_interruption_that_a_network_raises_is_its_failure_and_its_worker_lives_on(one_worker, what):
    code = f"if place == 1: raise {what}"
    found = [measured for _, each in run_cohorts(one_worker, [cohort(code, 0, 1, 2)]) for measured in each]
    assert [measured.failure is None for measured in found] == [True, False, True]
    assert f"raised {what}" in found[1].failure


def test_an_interrupt_that_is_sent_to_a_worker_does_not_end_its_training(one_worker):
    code = "os.kill(os.getpid(), signal.SIGINT)"
    [(_, [measured])] = run_cohorts(one_worker, [cohort(code, 0)])
    assert measured.failure is None


def test_sets_of_texts_have_one_order_in_all_workers(user_setup, tmp_path):
    path = f"__import__('pathlib').Path('{tmp_path}', str(os.getpid()))"
    code = f"{path}.write_text(str(hash('text'))); time.sleep(0.2)"
    with closing(ProcessExecutor(user_setup, workers=2)) as executor:
        assert len([*run_cohorts(executor, singles(code, *range(4)))]) == 4
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert len({*written}) == 1


# --- how a worker ended ---


def reasons(executor, code):
    """Of the only attempt with a training that runs this code: kind, and reason."""
    failures = FailedAttempts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hebbevo.execution.dispatch.RETRIES", 0)  # a worker takes seconds to start
        list(run_cohorts(executor, singles(code, 0), failures))
    [failure] = failures
    return str(failure.kind), failure.reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os._exit(3)", "its worker process ended with exit code 3"),
        (
            "import ctypes; ctypes.string_at(0)",
            "its worker process was ended by SIGSEGV (segmentation fault)",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", "its worker process was ended by SIGKILL (killed)"),
    ],
)
def test_the_reason_names_the_exit_code_or_the_signal_and_no_lack_of_memory(one_worker, code, reason):
    assert reasons(one_worker, code) == ("crash", reason)


def test_a_worker_that_the_system_killed_for_lack_of_memory_is_said_to_be_so(
    one_worker, tmp_path, monkeypatch
):
    counts = tmp_path / "vmstat"
    counts.write_text("nr_free_pages 5\noom_kill 0\n")
    monkeypatch.setattr("hebbevo.execution.processes.SYSTEM_COUNTS", counts)
    code = (
        f"count = open({str(counts)!r}).read().split()[-1]\n"
        f"open({str(counts)!r}, 'w').write(f'oom_kill {{int(count) + 1}}\\n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert reasons(one_worker, code) == (
        "memory",
        "its worker process was killed because the machine ran out of memory",
    )


def test_a_library_that_a_worker_cannot_import_is_named(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libgpu.so is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    with closing(ProcessExecutor(SETUP, workers=1)) as executor, pytest.raises(WorkerError) as caught:
        list(run_cohorts(executor, COHORTS))
    assert str(caught.value) == "no worker can be started: ImportError: libgpu.so is missing"


# --- the end of the search ---


def test_workers_and_what_they_have_started_end_at_once_with_their_search_even_if_stopped(tmp_path):
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from hebbevo.execution import ProcessExecutor\n"
        "from tests.execution.conftest import run_cohorts, singles, user_setup_in\n"
        "setup = user_setup_in(Path(sys.argv[1]))\n"
        "code = f'''import subprocess\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "open(f\"{sys.argv[1]}/pids{{place}}\", 'w').write(f'{{os.getpid()}} {{child.pid}}\\\\n')\n"
        "time.sleep(1000)'''\n"
        "list(run_cohorts(ProcessExecutor(setup, workers=2), singles(code, 0, 1)))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT) as search:
        deadline = time.monotonic() + 60
        while sum(path.read_text().endswith("\n") for path in tmp_path.glob("pids*")) < 2:
            assert time.monotonic() < deadline and search.poll() is None
            time.sleep(0.05)
        pids = [int(pid) for path in tmp_path.glob("pids*") for pid in path.read_text().split()]
        os.kill(pids[0], signal.SIGSTOP)
        search.kill()
    assert len(pids) == 4
    assert all_end(pids, seconds=5.0)
