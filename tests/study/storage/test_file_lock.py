"""The lock on a file itself, and whether there is one."""

import multiprocessing

import pytest

from hebbevo.study.storage.file_lock import FileLocked, is_locked, locked_itself
from tests.study.conftest import another_process, uses_fork


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    return path


def test_a_file_is_locked_while_the_block_runs_under_every_name(file, tmp_path):
    (tmp_path / "link").hardlink_to(file)
    assert is_locked(file) is False
    with locked_itself(file):
        assert is_locked(file) and is_locked(tmp_path / "link")
        with pytest.raises(FileLocked), locked_itself(tmp_path / "link"):
            pytest.fail("locked twice")
    assert is_locked(file) is False


@uses_fork
def test_a_lock_ends_with_its_process(file):
    here, there = multiprocessing.get_context("fork").Pipe()

    def lock() -> None:
        with locked_itself(file):
            there.send("locked")
            there.recv()

    with another_process(lock):
        assert here.recv() == "locked"
        assert is_locked(file)
    assert is_locked(file) is False


def test_where_the_system_has_no_such_locks_it_is_not_known(file, monkeypatch):
    monkeypatch.setattr("hebbevo.study.storage.file_lock.fcntl", None)
    assert is_locked(file) is None
