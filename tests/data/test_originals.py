import gzip
import hashlib
import io
import os
import pickle
import socket
import struct
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from hebbevo.data import BUILT_IN, download, load, originals
from hebbevo.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = {
    "train": RNG.integers(0, 256, (6, 2, 3), np.uint8),
    "t10k": RNG.integers(0, 256, (2, 2, 3), np.uint8),
}
LABELS = {"train": np.array([9, 0, 4, 9, 0, 4], np.uint8), "t10k": np.array([4, 9], np.uint8)}


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


IDX = {f"{part}-images-idx3-ubyte": idx(array) for part, array in IMAGES.items()}
IDX |= {f"{part}-labels-idx1-ubyte": idx(array) for part, array in LABELS.items()}
PACKED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in IDX.items()}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty data folder, and no way to the network."""
    monkeypatch.setenv("HEBBEVO_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "RETRIES", 0)
    monkeypatch.setattr(originals, "SOURCES", {name: refused(name) for name in originals.SOURCES})
    return tmp_path


def refused(name):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    return originals.Source((url,), originals.SOURCES[name].files)


def fill(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "files",
    [IDX, PACKED, dict(list(IDX.items())[:2]) | dict(list(PACKED.items())[2:])],
    ids=["unpacked", "packed", "mixed"],
)
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_are_read_packed_or_unpacked(folder, name, files):
    fill(folder / name, files)
    dataset = load(name)
    assert dataset.name == name
    assert dataset.x.tolist() == IMAGES["train"].reshape(6, 6).tolist()
    assert dataset.x_test.tolist() == IMAGES["t10k"].reshape(2, 6).tolist()
    assert dataset.shape == (2, 3)
    assert dataset.classes == (0, 4, 9)
    assert dataset.y.tolist() == [2, 0, 1, 2, 0, 1]
    assert dataset.y_test.tolist() == [1, 2]


IMAGE_FILE, LABEL_FILE = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (f"{IMAGE_FILE}.gz", PACKED[f"{IMAGE_FILE}.gz"][:-9], "cannot be read"),
        (f"{IMAGE_FILE}.gz", PACKED[f"{IMAGE_FILE}.gz"][:20], "cannot be read"),
        (f"{IMAGE_FILE}.gz", PACKED[f"{IMAGE_FILE}.gz"][:20] + b"junk" * 9, "cannot be read"),
        (f"{IMAGE_FILE}.gz", b"", "cannot be read"),
        (f"{IMAGE_FILE}.gz", b"<html>not found</html>", "its magic number is 1013478509, not 2051"),
        (f"{IMAGE_FILE}.gz", PACKED[f"{LABEL_FILE}.gz"], "its magic number is 2049, not 2051"),
        (f"{LABEL_FILE}.gz", PACKED[f"{IMAGE_FILE}.gz"], "its magic number is 2051, not 2049"),
        (IMAGE_FILE, IDX[IMAGE_FILE][:-1], "it holds 35 bytes for the shape (6, 2, 3)"),
        (IMAGE_FILE, IDX[IMAGE_FILE] + b"!", "it holds 37 bytes for the shape (6, 2, 3)"),
        (IMAGE_FILE, struct.pack(">4I", 0x803, *[2**32 - 1] * 3), "it holds 0 bytes"),
        (LABEL_FILE, idx(LABELS["train"][:5]), "has 5 labels for the 6 images of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_idx_file_is_named(folder, file, content, words):
    fill(folder / "mnist", {**PACKED, file: content})
    with pytest.raises(DataError) as caught:
        load("mnist")
    assert str(caught.value).startswith(f"{folder / 'mnist' / file}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
PIXELS = {batch: RNG.integers(0, 256, (2, 3072), np.uint8) for batch in BATCHES}


def batch_of(pixels, labels):
    return pickle.dumps({b"data": pixels, b"labels": labels, b"batch_label": b"one"}, protocol=2)


CIFAR = {batch: batch_of(PIXELS[batch], [3, 7]) for batch in BATCHES}


def archive_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in {"readme.html": b"hello", **files}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def put_cifar(folder, files, packed):
    (folder / "cifar10").mkdir()
    if packed:
        fill(folder / "cifar10", {"cifar-10-python.tar.gz": archive_of(files)})
    else:
        fill(folder / "cifar10" / "cifar-10-batches-py", files)


@pytest.mark.parametrize("packed", [True, False])
def test_cifar_batches_are_read_in_order_from_the_archive_or_its_folder(folder, packed):
    put_cifar(folder, dict(reversed(CIFAR.items())), packed)
    dataset = load("cifar10")
    assert np.array_equal(dataset.x, np.concatenate([PIXELS[batch] for batch in BATCHES[:5]]))
    assert np.array_equal(dataset.x_test, PIXELS["test_batch"])
    assert dataset.shape == (3, 32, 32)
    assert dataset.classes == (3, 7)
    assert (dataset.y.tolist(), dataset.y_test.tolist()) == ([0, 1] * 5, [0, 1])


def python_2_batch():
    """A batch as Python 2 wrote it: byte strings, and a dtype with whole numbers for flags."""
    array = PIXELS["data_batch_1"]
    opcodes = [
        b"\x80\x02}(U\x06labels](K\x03K\x07eU\x04data",
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
        b"(K\x01K\x02M\x00\x0c\x86",  # version 1, shape (2, 3072)
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R",
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
        b"T" + struct.pack("<I", array.size) + array.tobytes() + b"tbu.",
    ]
    return b"".join(opcodes)


def test_a_batch_written_by_python_2_is_read_without_a_warning(folder):
    put_cifar(folder, {**CIFAR, "data_batch_1": python_2_batch()}, packed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load("cifar10")
    assert np.array_equal(dataset.x[:2], PIXELS["data_batch_1"])


def test_a_batch_stored_column_by_column_is_read_as_rows(folder):
    pixels = PIXELS["test_batch"]
    put_cifar(folder, {**CIFAR, "test_batch": batch_of(np.asfortranarray(pixels), [3, 7])}, packed=True)
    assert np.array_equal(load("cifar10").x_test, pixels)


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["HEBBEVO_DATA"]) / "evil"),)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"junk", "cannot be read"),
        (CIFAR["test_batch"][:-100], "cannot be read"),
        (pickle.dumps([1, 2]), "cannot be read"),
        (pickle.dumps({b"labels": [1, 2]}), "cannot be read"),
        (batch_of([[1, 2]], [3, 7]), "its data are not one row of 3072 bytes for each of its 2 labels"),
        (
            batch_of(PIXELS["test_batch"][:, :3071], [3, 7]),
            "its data are not one row of 3072 bytes for each of its 2 labels",
        ),
        (
            batch_of(PIXELS["test_batch"].astype(float), [3, 7]),
            "its data are not one row of 3072 bytes for each of its 2 labels",
        ),
        (batch_of(PIXELS["test_batch"], [3]), "not one row of 3072 bytes for each of its 1 labels"),
        (CIFAR["test_batch"].replace(b"K\x02M\x00\x0c", b"K\x02M\x00\x0d"), "3072 bytes"),
        (batch_of(PIXELS["test_batch"], ["cat", "dog"]), "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_cifar_batch_is_named(folder, content, words, packed):
    put_cifar(folder, {**CIFAR, "data_batch_3": content}, packed)
    with pytest.raises(DataError) as caught:
        load("cifar10")
    source = folder / "cifar10" / ("cifar-10-python.tar.gz" if packed else "cifar-10-batches-py")
    assert str(caught.value).startswith(f"{source / 'data_batch_3'}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(folder):
    put_cifar(folder, {**CIFAR, "test_batch": pickle.dumps(Evil(), protocol=2)}, packed=True)
    with pytest.raises(DataError, match=r"asks for posix\.mkdir, which no CIFAR-10 batch needs"):
        load("cifar10")
    assert not (folder / "evil").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_missing_cifar_batches_are_listed(folder, packed):
    put_cifar(folder, {batch: CIFAR[batch] for batch in BATCHES[:4]}, packed)
    with pytest.raises(DataError, match="holds no data_batch_5, test_batch; take the original"):
        load("cifar10")


@pytest.mark.parametrize("content", [b"", b"junk", archive_of(CIFAR)[:-2000]], ids=["empty", "junk", "cut"])
def test_a_broken_cifar_archive_is_named(folder, content):
    fill(folder / "cifar10", {"cifar-10-python.tar.gz": content})
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: cannot be read"):
        load("cifar10")


def serve_mnist(monkeypatch, *urls):
    files = tuple(
        originals.Original(name, name.removesuffix(".gz"), hashlib.sha256(content).hexdigest())
        for name, content in PACKED.items()
    )
    monkeypatch.setitem(originals.SOURCES, "mnist", originals.Source(urls, files))


def test_absent_files_are_downloaded_once_and_present_ones_never(folder, server, monkeypatch):
    server.files |= PACKED
    serve_mnist(monkeypatch, server.url)
    fill(folder / "mnist", {LABEL_FILE: IDX[LABEL_FILE]})
    assert load("mnist").y.tolist() == [2, 0, 1, 2, 0, 1]
    assert load("mnist").y.tolist() == [2, 0, 1, 2, 0, 1]
    expected = set(PACKED) - {f"{LABEL_FILE}.gz"}
    assert sorted(server.asked) == sorted(expected)
    assert {path.name for path in (folder / "mnist").iterdir()} == expected | {LABEL_FILE}
    assert (folder / "mnist" / f"{IMAGE_FILE}.gz").read_bytes() == PACKED[f"{IMAGE_FILE}.gz"]


def test_a_mirror_stands_in_for_an_address_that_fails(folder, server, monkeypatch):
    server.files |= {f"good/{name}": content for name, content in PACKED.items()}
    server.files |= {f"wrong/{name}": b"junk" for name in PACKED}
    folders = [f"{server.url}{folder}/" for folder in ("absent", "wrong", "good")]
    serve_mnist(monkeypatch, refused("mnist").urls[0], *folders)
    assert load("mnist").classes == (0, 4, 9)
    assert len(server.asked) == 3 * len(PACKED)
    assert {path.name for path in (folder / "mnist").iterdir()} == set(PACKED)


def test_a_download_that_is_not_the_published_file_is_thrown_away(folder, server, monkeypatch):
    server.files |= {**PACKED, f"{IMAGE_FILE}.gz": PACKED[f"{IMAGE_FILE}.gz"][:-1]}
    serve_mnist(monkeypatch, server.url)
    with pytest.raises(DataError, match=f"{IMAGE_FILE}.gz came other than published"):
        load("mnist")
    assert not (folder / "mnist").exists()


def test_without_a_network_the_error_says_what_to_put_where_and_nothing_is_left(folder):
    fill(folder / "mnist", {LABEL_FILE: IDX[LABEL_FILE]})
    url = originals.SOURCES["mnist"].urls[0]
    with pytest.raises(DataError) as caught:
        load("mnist")
    message = str(caught.value)
    assert message.startswith(
        f"mnist: {IMAGE_FILE}.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz missing in"
        f" {folder / 'mnist'} and not to be downloaded"
    )
    assert "Connection refused" in message
    assert message.endswith(f"put there what {url} has, or set HEBBEVO_DATA to the folder that holds mnist/")
    assert "\n" not in message
    assert [path.name for path in (folder / "mnist").iterdir()] == [LABEL_FILE]
    with pytest.raises(DataError, match=r"^cifar10: cifar-10-python\.tar\.gz missing in "):
        load("cifar10")
    assert not (folder / "cifar10").exists()


def test_a_folder_that_cannot_be_made_is_a_data_error(folder, server, monkeypatch):
    server.files |= PACKED
    serve_mnist(monkeypatch, server.url)
    (folder / "mnist").write_text("in the way")
    with pytest.raises(DataError, match=r"missing in .*mnist and not to be downloaded"):
        load("mnist")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HEBBEVO_DATA": "/data", "XDG_CACHE_HOME": "/cache", "HOME": "/home/me"}, "/data"),
        ({"HEBBEVO_DATA": "~/data", "XDG_CACHE_HOME": "/cache", "HOME": "/home/me"}, "/home/me/data"),
        ({"HEBBEVO_DATA": "", "XDG_CACHE_HOME": "/cache", "HOME": "/home/me"}, "/cache/hebbevo"),
        ({"HEBBEVO_DATA": "", "XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/hebbevo"),
    ],
)
def test_the_data_folder_is_hebbevo_data_or_in_the_cache(monkeypatch, environment, expected):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert originals.data_folder() == Path(expected)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_set_takes_no_target(name):
    with pytest.raises(DataError, match=rf"^{name}: target 'y' is for tables; leave it out$"):
        load(name, target="y")


def test_digits_come_with_scikit_learn():
    dataset = load("digits")
    assert dataset.x.shape == (1797, 64)
    assert dataset.shape == (8, 8)
    assert dataset.fingerprint.startswith("5946f279b32fa598")  # studies are made with it
    assert (dataset.x.min(), dataset.x.max()) == (0, 16)
    assert dataset.classes == tuple(range(10))
    assert np.bincount(dataset.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert dataset.x_test is None
