"""Downloads of published files, by pooch: checked, tried again, and shown while they go on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hebbevo.messages import first_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
RETRIES = 2  # for each address, after one second and two

log = logging.getLogger(__name__)


class DownloadFailed(Exception):
    """No address has given the file as it was published. The message says what each has done."""


def download(name: str, sha256: str, urls: Sequence[str], folder: Path) -> Path:
    """Download a file into a folder. It has its name only once it is complete and correct.

    On a terminal a bar shows the progress; elsewhere the logger ``hebbevo`` has a line as a warning.

    Args:
        name: name of the file.
        sha256: its checksum in hex.
        urls: addresses that have it, best first: each is tried, and tried again, until one succeeds.
        folder: made if it is not there.

    Raises:
        DownloadFailed: no address has given the published file, or it cannot be written.
    """
    failures: list[str] = []
    for url in urls:
        try:
            with _shown(name, url, folder) as bar:
                return _download_from(url, name, sha256, folder, bar)
        except (OSError, ValueError) as error:  # errors of requests are OSErrors
            failures.append(f"{url}: {_reason(error, name)}")
    raise DownloadFailed("; ".join(failures))


def _download_from(url: str, name: str, sha256: str, folder: Path, bar: _Bar | None) -> Path:
    import pooch

    made = not folder.exists()
    downloader = pooch.HTTPDownloader(
        progressbar=bar or False, chunk_size=CHUNK_BYTES, timeout=TIMEOUT_SECONDS
    )
    source = pooch.create(folder, url, registry={name: f"sha256:{sha256}"}, retry_if_failed=RETRIES)
    said_by_pooch = pooch.get_logger().level
    pooch.get_logger().setLevel(logging.WARNING)  # what it would say is said here
    try:
        place = Path(source.fetch(name, downloader=downloader))
    except BaseException:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    finally:
        pooch.get_logger().setLevel(said_by_pooch)
    place.chmod(0o644)  # pooch makes files that only their owner can read
    return place


def _reason(error: Exception, name: str) -> str:
    """What went wrong, in a few words: the first cause of an error, which requests wraps several times."""
    if (response := getattr(error, "response", None)) is not None:  # the server has said no
        return f"{response.status_code} {response.reason}"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return f"{name} came other than published"
    cause: BaseException = error
    while under := cause.__cause__ or cause.__context__:
        cause = under
    return first_line(cause) or type(cause).__name__


@contextmanager
def _shown(name: str, url: str, folder: Path) -> Iterator[_Bar | None]:
    if sys.stderr is None or not sys.stderr.isatty():
        log.warning("downloading %s%s to %s", url, name, folder)
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    text = TextColumn("downloading {task.description}", markup=False)
    columns = (text, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Bar(progress, progress.add_task(name, total=None))


class _Bar:
    """A bar of rich with what pooch expects of a progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    @property
    def total(self) -> int:
        return int(self._progress.tasks[0].total or 0)

    @total.setter
    def total(self, size: int) -> None:
        """Begin a download, or begin it again; servers may leave out the size, which is 0 then."""
        self._progress.update(self._task, total=size or None, completed=0)

    def update(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Leave the bar: what opened it closes it."""
