"""Downloads of published files, by pooch: checked, tried again, and shown while they go on."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

from hebbevo.messages import first_line

TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
RETRIES = 2  # for each address, after one second and two
SECONDS_BETWEEN_LINES = 5.0

log = logging.getLogger(__name__)


class DownloadFailed(Exception):
    """No address has given the file as it was published. The message says what each has done."""


def download(name: str, sha256: str, urls: Sequence[str], folder: Path) -> Path:
    """Download a file into a folder. It has its name only once it is complete and correct.

    The logger ``hebbevo`` says so as a warning, which Python shows by default, and then how much has come.

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
            log.warning("downloading %s%s to %s", url, name, folder)
            return _download_from(url, name, sha256, folder)
        except (OSError, ValueError) as error:  # errors of requests are OSErrors
            failures.append(f"{url}: {_reason(error, name)}")
    raise DownloadFailed("; ".join(failures))


def _download_from(url: str, name: str, sha256: str, folder: Path) -> Path:
    import pooch

    made = not folder.exists()
    downloader = pooch.HTTPDownloader(
        progressbar=_Lines(name), chunk_size=CHUNK_BYTES, timeout=TIMEOUT_SECONDS
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


class _Lines:
    """What pooch takes for a progress bar: lines in the log, a while apart.

    A bar would not do: a search may show its own, and two on one terminal disturb each other.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = time.monotonic()
        self._come = 0
        self._total = 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        """Begin a download, or begin it again. A server may leave out the size, which is 0 then."""
        self._total = size
        self._come = 0

    def update(self, size: int) -> None:
        self._come += size
        if time.monotonic() - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = time.monotonic()
        come, total = self._come / 1e6, self._total / 1e6
        share = f" of {total:.0f} MB ({min(1.0, come / total):.0%})" if total else " MB"
        log.warning("%s: %.0f%s", self._name, min(come, total) if total else come, share)

    def reset(self) -> None:
        """Nothing to do: pooch now reports the whole size at once."""
        self._last = math.inf

    def close(self) -> None:
        """Nothing is open."""
