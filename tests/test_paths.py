"""Paths with ``~``, in every place that takes a path."""

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import hebbevo
from hebbevo.errors import UsageError
from hebbevo.paths import expanded


def test_the_home_folder_stands_for_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a/b.csv") == tmp_path / "a" / "b.csv"
    assert expanded(Path("a/~/b")) == Path("a/~/b")
    assert expanded("./~no-such-user/b") == Path("~no-such-user/b")


def test_a_home_folder_that_is_not_known_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = "~no-such-user/x.csv"
    for use in (
        lambda: hebbevo.search("stamina", dataset=path, target="t", study="s.db"),
        lambda: hebbevo.search("stamina", test=path, dataset="a.csv", target="t", study="s.db"),
        lambda: hebbevo.search("stamina", study=path),
        lambda: hebbevo.search(path),
        lambda: hebbevo.search("stamina", start=path, study="s.db"),
        lambda: hebbevo.open_study(path),
        lambda: hebbevo.resume(path),
        lambda: hebbevo.copy(path, "b.db"),
    ):
        with pytest.raises(UsageError) as caught:
            use()
        assert "no home folder of no-such-user is known; write the whole path" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_goes_to_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(120, 2))
    np.savez(tmp_path / "d.npz", x=x, y=(x[:, 0] > 0).astype(int))
    hebbevo.search("stamina", dataset="~/d.npz", study="~/a.db", population=4, trials=4, epochs=1, workers=1)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert hebbevo.copy("~/a.db", "~/b.db") == tmp_path / "b.db"
    with contextlib.closing(sqlite3.connect(tmp_path / "b.db")) as file, file:
        assert file.execute("select count(*) from trials").fetchone() == (4,)
    assert list((tmp_path / "other").iterdir()) == []
