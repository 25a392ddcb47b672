"""The published files themselves, where HEBBEVO_DATA holds them."""

import hashlib
import math
import os

import numpy as np
import pytest

from hebbevo.data import load
from hebbevo.data.originals import SOURCES, data_folder

MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize(
    ("name", "shape", "train", "test"),
    [
        ("mnist", (28, 28), MNIST_TRAIN, MNIST_TEST),
        ("fashion_mnist", (28, 28), [6000] * 10, [1000] * 10),
        ("cifar10", (3, 32, 32), [5000] * 10, [1000] * 10),
    ],
)
def test_a_published_set_has_its_known_shape_and_class_counts(name, shape, train, test):
    folder = data_folder() / name
    present = [
        (folder / file.name).exists() or (folder / file.unpacked).exists() for file in SOURCES[name].files
    ]
    if "HEBBEVO_DATA" not in os.environ or not all(present):
        pytest.skip(f"HEBBEVO_DATA holds no {name}/ with its original files")
    dataset = load(name)
    assert dataset.shape == shape
    assert dataset.x.shape == (sum(train), math.prod(shape))
    assert dataset.x_test.shape == (sum(test), math.prod(shape))
    assert np.bincount(dataset.y).tolist() == train
    assert np.bincount(dataset.y_test).tolist() == test
    assert (dataset.x.min(), dataset.x.max()) == (0, 255)
    assert dataset.classes == tuple(range(10))


PUBLISHED_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}


@pytest.mark.parametrize("name", PUBLISHED_MD5)
def test_downloads_are_checked_against_the_files_that_have_the_published_md5(name: str) -> None:
    expected = {file.name: file.sha256 for file in SOURCES[name].files}
    assert expected.keys() == PUBLISHED_MD5[name].keys()
    folder = data_folder() / name
    if "HEBBEVO_DATA" not in os.environ or not all((folder / file).exists() for file in expected):
        pytest.skip(f"HEBBEVO_DATA holds no {name}/ with its packed files")
    for file, sha256 in expected.items():
        content = (folder / file).read_bytes()
        assert hashlib.md5(content).hexdigest() == PUBLISHED_MD5[name][file]
        assert hashlib.sha256(content).hexdigest() == sha256
