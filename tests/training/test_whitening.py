"""Whitening in networks of a search: fitted to the training rows, and part of the network."""

import numpy as np
import torch

from hebbevo.networks import Architecture
from hebbevo.nn import Whitening
from hebbevo.training import Candidate, Recipe, networks_of, train
from hebbevo.training.whitening import fit_whitening
from tests.training.conftest import CPU, image_problem

SHAPE = (1, 5, 5)


def recipe(**settings):
    network = Architecture("hebbian_conv", (), "dense", False, SHAPE, 4, (5,), credit="softhebb")
    return Recipe(network, {"whitening": "image", **settings}, epochs=1, batch_size=30, seed=3)


def test_a_network_that_is_handed_out_has_the_whitening_of_the_training_rows_alone():
    rows = torch.from_numpy(image_problem(SHAPE).x_train).reshape(-1, *SHAPE)
    genomes = [{"whitening_ridge": 1e-3}, {"whitening_ridge": 0.1}]
    candidates = [Candidate(genome) for genome in genomes]
    found = networks_of(recipe(), candidates, image_problem(SHAPE), CPU, [0, 1], 1, [None, None])
    for (net, _), genome in zip(found, genomes, strict=True):
        expected = Whitening(SHAPE, ridge=genome["whitening_ridge"]).fit(rows)
        torch.testing.assert_close(net.whitening.matrix, expected.matrix)
        torch.testing.assert_close(net.whitening.mean, expected.mean)


def test_networks_with_a_whitening_are_trained_and_decoded():
    [found] = train(recipe(readout="ridge"), [Candidate({})], image_problem(SHAPE), CPU)
    assert found.failure is None
    assert np.isfinite([*found.accuracy, *found.decoding.learned, *found.decoding.random]).all()
    assert found.survivors == (5,)


def test_a_fit_is_for_the_rows_that_it_is_given():
    one, other = torch.randn(40, 3), 2 * torch.randn(40, 3)
    whitened = [fit_whitening(Whitening((3,), ridge=1e-9), x)(x) for x in (one, other, one)]
    for each in whitened:
        torch.testing.assert_close(each.T @ each / 40, torch.eye(3), atol=1e-3, rtol=0)
    assert torch.equal(whitened[0], whitened[2])


def test_a_whitening_that_is_fitted_stays_as_it_is():
    fitted = Whitening((3,)).fit(torch.randn(40, 3))
    before = fitted.matrix.clone()
    assert torch.equal(fit_whitening(fitted, torch.randn(40, 3)).matrix, before)
