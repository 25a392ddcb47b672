"""The original files of the public data sets: where they are stored, and where they are downloaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hebbevo.data.download import DownloadFailed, download
from hebbevo.errors import DataError
from hebbevo.paths import expanded


@dataclass(frozen=True)
class Original:
    """One published file.

    Attributes:
        name: name of the file.
        unpacked: name of the file or folder that it unpacks to.
        sha256: checksum in hex.
    """

    name: str
    unpacked: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """The files of one data set, and where to download them.

    Attributes:
        urls: addresses, best first, each of which has all files.
        files: the published files.
    """

    urls: tuple[str, ...]
    files: tuple[Original, ...]


def _idx_source(urls: tuple[str, ...], sha256: dict[str, str]) -> Source:
    return Source(urls, tuple(Original(f"{name}.gz", name, digest) for name, digest in sha256.items()))


SOURCES: dict[str, Source] = {
    "mnist": _idx_source(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion_mnist": _idx_source(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        {
            "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "cifar10": Source(
        ("https://www.cs.toronto.edu/~kriz/",),
        (
            Original(
                "cifar-10-python.tar.gz",
                "cifar-10-batches-py",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
    ),
}


def data_folder() -> Path:
    """The folder of all data sets: ``$HEBBEVO_DATA``, or else ``hebbevo`` in the user's cache folder."""
    chosen = os.environ.get("HEBBEVO_DATA")
    if chosen:
        return expanded(chosen)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "hebbevo"


def locate(name: str) -> dict[str, Path]:
    """Find the files of a data set, packed or unpacked, and download those that are absent.

    Args:
        name: a key of ``SOURCES``.

    Returns:
        The path of each file, under its original name.

    Raises:
        DataError: a file is absent and cannot be downloaded.
    """
    source, folder = SOURCES[name], data_folder() / name
    try:
        return {
            original.name: _present(folder, original)
            or download(original.name, original.sha256, source.urls, folder)
            for original in source.files
        }
    except DownloadFailed as error:
        absent = ", ".join(original.name for original in source.files if _present(folder, original) is None)
        raise DataError(
            f"{name}: {absent} missing in {folder} and not to be downloaded ({error}); put there what"
            f" {source.urls[0]} has, or set HEBBEVO_DATA to the folder that holds {name}/"
        ) from error


def _present(folder: Path, original: Original) -> Path | None:
    places = (folder / original.unpacked, folder / original.name)
    return next((place for place in places if os.path.exists(place)), None)
