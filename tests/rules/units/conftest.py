"""The digits of scikit-learn, and networks that are trained on them side by side."""

from functools import lru_cache

import pytest

from hebbevo.data import load, split
from hebbevo.networks import Architecture
from hebbevo.training import Recipe
from tests.training.conftest import make_cohort


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """These nets are too small for more threads."""


@lru_cache
def digits():
    """The digits, standardised pixel by pixel, in training, validation and test rows."""
    return split(load("digits"), 0, 32, standardize=True)


def digits_cohort(units, genomes, *, hidden=(64, 32), epochs=8, connections="full", **settings):
    """The training of a network for each genome, under one unit rule, in minibatches of 32 digits."""
    network = Architecture("mlp", hidden, units, False, (64,), 10, (), connections)
    recipe = Recipe(network, {"learning_rate": 3e-3} | settings, epochs, 32, 0)
    return make_cohort(recipe, genomes, digits())
