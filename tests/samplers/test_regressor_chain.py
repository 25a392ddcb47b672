"""The model of all losses: how genes are encoded, and what one loss explains of another."""

import numpy as np
import pytest

from hebbevo.samplers.regressor_chain import RegressorChain
from hebbevo.space import ChoiceGene, FloatGene, Space
from tests.samplers.conftest import cube

TOLERANCE = 1e-4


def test_noise_of_the_last_loss_does_not_hide_the_influence_of_a_gene_on_the_first():
    rng = np.random.default_rng(0)
    chain, points = RegressorChain(cube(2), 2, TOLERANCE), rng.random((60, 2))
    survivors = 50 + 100 * points[:, 0] + 30 * rng.normal(size=60)
    chain.fit(points, np.column_stack([-0.01 * survivors + 0.1 * points[:, 1], survivors]), None)
    rates = np.linspace(0, 1, 11)
    predicted = chain.predict(np.column_stack([np.full(11, 0.5), rates]), 0.0)
    error = chain.as_losses(predicted)[:, 0]
    assert error[-1] - error[0] == pytest.approx(0.1, abs=0.03)  # a third of the survivors' noise


def test_the_end_of_an_axis_is_the_last_choice():
    chain = RegressorChain(Space((ChoiceGene("kind", ("a", "b", "c")),)), 1, TOLERANCE)
    last, end = chain.encoded(np.array([[2.5 / 3], [1.0]]))
    assert end.tolist() == last.tolist()


def test_a_predicted_violation_puts_a_point_behind_unless_its_confidence_bound_meets_the_constraint():
    rng = np.random.default_rng(0)
    chain, unconstrained, points = (
        RegressorChain(cube(2), 1, TOLERANCE),
        RegressorChain(cube(2), 1, TOLERANCE),
        rng.random((60, 2)),
    )
    chain.fit(points, points[:, 1:], points[:, 0] - 0.5 + 0.1 * rng.normal(size=60))
    unconstrained.fit(points, points[:, 1:], None)
    new = np.array([[0.3, 0.5], [0.6, 0.1]])  # the second has the smaller loss and misses the constraint
    met, missed = chain.predict(new, 0.0)[:, 0]
    assert missed > met == unconstrained.predict(new, 0.0)[0, 0]
    assert chain.predict(new, 100.0).tolist() == unconstrained.predict(new, 100.0).tolist()


def test_without_violations_no_point_is_put_behind():
    rng = np.random.default_rng(0)
    chain, points = RegressorChain(cube(2), 1, TOLERANCE), rng.random((60, 2))
    violation = points[:, 0] - 0.5
    chain.fit(points, points[:, 1:], violation)
    chain.fit(points, points[:, 1:], None)
    met, other = chain.predict(np.array([[0.3, 0.5], [0.9, 0.1]]), 0.0)[:, 0]
    assert other < met


def test_choices_are_one_apart_and_a_float_is_a_column():
    space = Space(
        (
            ChoiceGene("kind", ("a", "b", "c")),
            FloatGene("gain", 0.0, 1.0, when=(("kind", ("b",)),)),
        )
    )
    genomes = [{"kind": "a"}, {"kind": "c"}, {"kind": "b", "gain": 0.25}, {"kind": "b", "gain": 0.75}]
    x = RegressorChain(space, 2, TOLERANCE).encoded(np.array([space.to_unit(genome) for genome in genomes]))
    kinds = np.linalg.norm(x[:3, None, :3] - x[:3, :3], axis=2)
    assert kinds == pytest.approx(1.0 - np.eye(3))
    assert np.linalg.norm(x[2] - x[3]) == pytest.approx(0.5)
    points = np.array([[0.1, 0.0], [0.1, 1.0]])  # kind a, with which gain is inactive
    assert len(np.unique(space.snap(points), axis=0)) == 1
