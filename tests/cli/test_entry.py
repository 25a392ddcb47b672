"""The end of the process of the command line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hebbevo.cli.commands import INTERRUPTED

CRASHES = f"""\
import os
class Native:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, {int(signal.SIGSEGV)})
native = Native()
"""
MAIN = """\
import atexit, sys
from hebbevo.cli import commands, entry

def main():
    import ray
    atexit.register(lambda: print("at exit"))
    print("printed")
    sys.exit({code})

commands.main = main
entry.main()
"""


def ended_with(code: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command that has used Ray, whose objects crash when Python frees them, and ends with a code."""
    (folder / "ray.py").write_text(CRASHES)
    (folder / "script.py").write_text(MAIN.format(code=code))
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.run([sys.executable, "script.py"], cwd=folder, env=here, capture_output=True, text=True)


@pytest.mark.parametrize(("code", "is_left"), [(INTERRUPTED, True), (0, False)])
def test_an_interrupted_command_that_used_ray_ends_before_python_frees_its_objects(
    code: int, is_left: bool, tmp_path: Path
) -> None:
    done = ended_with(code, tmp_path)
    assert done.returncode == (code if is_left else -signal.SIGSEGV)
    assert done.stdout == "printed\nat exit\n"
