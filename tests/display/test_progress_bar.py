"""Where a search that Python code starts shows its progress, and where it does not."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hebbevo
from hebbevo.display.progress_bar import ProgressBar, watched
from hebbevo.errors import UsageError

SCRIPT = (
    "import hebbevo, sys; hebbevo.search(sys.argv[1], study='s.db', trials=int(sys.argv[2]), workers=1{})"
)


def on_a_terminal(folder: Path, script: str, *arguments: object) -> str:
    """What a script writes to standard error where that is a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=folder, stderr=follower, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"}
    )
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            shown += os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert process.wait() == 0, shown
    return shown.decode()


def test_a_script_on_a_terminal_has_a_bar_unless_it_wants_none(space: Path, tmp_path: Path) -> None:
    shown = on_a_terminal(tmp_path, SCRIPT.format(""), space, 8)
    assert "━" in shown and "8/8" in shown and "training the first ones" in shown and "best" in shown
    again = on_a_terminal(tmp_path, SCRIPT.format(""), space, 8)
    assert "8/8" not in again  # nothing was left to do
    assert "━" not in again.splitlines()[-1]
    silent = on_a_terminal(tmp_path, SCRIPT.format(", watch=None"), space, 16)
    assert silent == ""


def test_in_a_file_there_is_only_what_logging_is_asked_for(space: Path, tmp_path: Path) -> None:
    def written(script: str, trials: int) -> str:
        command = [sys.executable, "-c", script, str(space), str(trials)]
        environment = {**os.environ, "FORCE_COLOR": "1"}  # as on many CI services
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout == ""
        return done.stderr

    assert written(SCRIPT.format(""), 8) == ""
    asked = "import logging; logging.basicConfig(level='INFO', format='%(name)s %(message)s'); " + SCRIPT
    lines = written(asked.format(""), 16).splitlines()
    own = [line for line in lines if line.startswith("hebbevo ")]
    assert [line.split()[1] for line in own] == ["8/16", "16/16"]


def test_a_function_receives_the_progress_and_none_is_silence(space: Path, tmp_path: Path, caplog) -> None:
    seen: list[hebbevo.Progress] = []
    hebbevo.search(space, study=tmp_path / "s.db", trials=8, watch=seen.append)
    assert seen[-1].trials == 8
    caplog.set_level(0)
    hebbevo.resume(tmp_path / "s.db", trials=16, watch=None)
    assert not [record for record in caplog.records if record.name == "hebbevo"]


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(UsageError, match=r"watch: 5 cannot be called; write a function, or None"), watched(5):
        pass


def test_two_searches_may_show_their_bars_at_the_same_time() -> None:
    with ProgressBar().shown() as one, ProgressBar().shown() as other:
        assert one is not other
    assert repr(ProgressBar()) == "ProgressBar()"
