"""Downloads: tried again, checked, whole or not there at all, and never silent."""

import hashlib
import logging
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from hebbevo.data import download as module
from hebbevo.data.download import DownloadFailed, download
from tests.data.conftest import Server

NAME = "set.gz"
CONTENT = bytes(range(256)) * 64
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that pooch would wait for before it tries again; here it does not wait."""
    seconds: list[float] = []
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data" / "set"


def test_a_file_comes_whole_and_anyone_may_read_it(server: Server, place: Path) -> None:
    server.files[NAME] = CONTENT
    path = download(NAME, SHA256, [server.url], place)
    assert path == place / NAME
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(place) == [NAME]


@pytest.mark.parametrize("fault", ["cut", "spoilt"])
def test_a_broken_connection_or_other_bytes_are_tried_again(
    fault: str, server: Server, place: Path, waits: list[float]
) -> None:
    server.files[NAME] = CONTENT
    getattr(server, fault).extend([NAME, NAME])
    assert download(NAME, SHA256, [server.url], place).read_bytes() == CONTENT
    assert server.asked == [NAME] * 3
    assert waits == [1, 2]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cut", "IncompleteRead(8192 bytes read, 8192 more expected)"),
        ("spoilt", f"{NAME} came other than published"),
        ("", "404 Not Found"),
    ],
    ids=["cut", "spoilt", "absent"],
)
def test_what_never_comes_right_is_one_line_and_leaves_nothing(
    fault: str, words: str, server: Server, place: Path
) -> None:
    if fault:
        server.files[NAME] = CONTENT
        getattr(server, fault).extend([NAME] * 6)
    folders = [f"{server.url}", f"{server.url}"]
    with pytest.raises(DownloadFailed) as caught:
        download(NAME, SHA256, folders, place)
    assert str(caught.value) == f"{server.url}: {words}; {server.url}: {words}"
    assert server.asked == [NAME] * 6
    assert not place.exists()


def test_a_file_that_was_there_stays_as_it_is_where_another_does_not_come(
    server: Server, place: Path
) -> None:
    place.mkdir(parents=True)
    (place / "other.gz").write_bytes(b"mine")
    with pytest.raises(DownloadFailed):
        download(NAME, SHA256, [server.url], place)
    assert os.listdir(place) == ["other.gz"]
    assert (place / "other.gz").read_bytes() == b"mine"


def test_a_download_is_one_line_of_the_log_and_nothing_else_is_said(
    server: Server, place: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server.files[NAME] = CONTENT
    with caplog.at_level(logging.WARNING, "hebbevo"):
        download(NAME, SHA256, [server.url], place)
    assert caplog.messages == [f"downloading {server.url}{NAME} to {place}"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("size", "lines"),
    [(True, ["2 of 6 MB (33%)", "4 of 6 MB (67%)", "6 of 6 MB (100%)"]), (False, ["2 MB", "4 MB", "6 MB"])],
    ids=["known size", "unknown size"],
)
def test_a_long_download_says_how_much_has_come(
    size: bool,
    lines: list[str],
    server: Server,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = bytes(6_000_000)
    server.files[NAME] = content
    server.says_size = size
    monkeypatch.setattr(module, "CHUNK_BYTES", 2_000_000)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    download(NAME, hashlib.sha256(content).hexdigest(), [server.url], place)
    assert caplog.messages[1:] == [f"{NAME}: {line}" for line in lines]
