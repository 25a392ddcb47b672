"""The published files themselves, where HEBBEVO_DATA holds them."""

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
