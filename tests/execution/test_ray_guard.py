"""The guard that ends what Ray has started, with ordinary processes in place of Ray's."""

import os
import subprocess
import sys
import time

import pytest

from hebbevo.execution.ray_guard import guarding, release

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="environments of processes are read on Linux only"
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeping():
    """Starts processes that sleep, and kills those that are left at the end."""
    started = []

    def start(**options):
        started.append(subprocess.Popen(SLEEP, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_processes_that_are_started_within_the_block_end_soon_after_the_guard_is_released(sleeping):
    before = sleeping()
    with guarding() as guard:
        inside, in_a_group = sleeping(), sleeping(start_new_session=True)
    after = sleeping()
    release(guard)
    assert inside.wait(1) < 0
    assert in_a_group.wait(1) < 0
    assert before.poll() is None
    assert after.poll() is None


def test_a_stopped_process_is_killed_too(sleeping):
    with guarding() as guard:
        process = sleeping()
    os.kill(process.pid, 19)  # SIGSTOP
    release(guard)
    assert process.wait(1) < 0


def test_the_guard_acts_when_the_process_that_it_guards_for_is_killed(tmp_path):
    program = f"""
import os, subprocess, sys
from hebbevo.execution.ray_guard import guarding
with guarding():
    child = subprocess.Popen({SLEEP!r})
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    pid = int(found.stdout)
    end = time.monotonic() + 10
    while time.monotonic() < end and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_process_that_is_being_started_when_its_parent_is_killed_ends_too():
    program = f"""
import os, subprocess, sys, time
from hebbevo.execution.ray_guard import guarding
with guarding():
    mark = os.environ["HEBBEVO_RAY_GUARD"]
time.sleep(1)  # the guard starts meanwhile
if (pid := os.fork()) == 0:  # as yet without the mark
    time.sleep(0.8)
    os.execve({SLEEP[0]!r}, {SLEEP!r}, {{"HEBBEVO_RAY_GUARD": mark}})
print(pid, flush=True)
os.kill(os.getpid(), 9)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as started:
        pid = int(started.stdout.readline())
    end = time.monotonic() + 10
    while time.monotonic() < end and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_guard_whose_processes_have_ended_ends_and_leaves_no_mark():
    with guarding() as guard:
        subprocess.run([sys.executable, "-c", ""], check=True)
    release(guard)
    assert guard.returncode == 0
    assert "HEBBEVO_RAY_GUARD" not in os.environ


def test_an_error_within_the_block_ends_what_was_started(sleeping):
    started = []
    with pytest.raises(RuntimeError, match="no start"), guarding():
        started.append(sleeping())
        raise RuntimeError("no start")
    assert started[0].wait(1) < 0
