import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hebbevo.errors import SpaceError
from hebbevo.space import (
    ChoiceGene,
    FloatGene,
    IntGene,
    Space,
)
from tests.space.conftest import LAYERED, NESTED, UNIT


def test_a_space_without_genes_is_refused():
    with pytest.raises(SpaceError, match="genome: there is no gene; give at least one"):
        Space(())


def test_nested_conditions_drop_exactly_the_inactive_genes():
    for kind, extra, depth in itertools.product(("small", "big"), (False, True), (1, 2, 3)):
        values = {"kind": kind, "extra": extra, "depth": depth, "size": 1.5, "rate": 0.01}
        expected = {"kind", "depth"}
        expected |= {"extra"} if kind == "big" else set()
        expected |= {"size"} if kind == "big" and extra else set()
        expected |= {"rate"} if depth in (2, 3) else set()
        assert set(NESTED.active(values)) == expected
        genome = {name: values[name] for name in expected}
        assert NESTED.active(genome) == NESTED.active(values)
        assert NESTED.contains(genome)
        assert all(not NESTED.contains({**genome, name: values[name]}) for name in set(values) - expected)
        assert all(not NESTED.contains({n: genome[n] for n in expected - {name}}) for name in expected)


def test_active_genes_come_in_the_order_of_the_space():
    assert NESTED.active({"kind": "big", "extra": True, "depth": 3}) == (
        "size",
        "kind",
        "extra",
        "depth",
        "rate",
    )


def test_parents_come_before_the_genes_that_name_them():
    space = Space(tuple(reversed(LAYERED.genes)))
    order = [gene.name for gene in space.parents_first]
    assert sorted(order) == sorted(gene.name for gene in space.genes)
    for gene in space.genes:
        assert all(order.index(parent) < order.index(gene.name) for parent, _ in gene.when)


@given(st.lists(UNIT, min_size=5, max_size=5))
def test_a_point_of_the_cube_is_a_genome_of_the_space_and_comes_back(point):
    genome = NESTED.from_unit(np.array(point))
    assert NESTED.contains(genome)
    back = NESTED.to_unit(genome)
    assert back.shape == (NESTED.dimension,) == (5,)
    assert all(back[i] == 0.5 for i, gene in enumerate(NESTED.genes) if gene.name not in genome)
    again = NESTED.from_unit(back)
    assert set(again) == set(genome)
    for name, value in genome.items():
        assert (
            math.isclose(again[name], value, rel_tol=1e-12) if type(value) is float else again[name] == value
        )


@pytest.mark.parametrize(
    "point",
    [np.zeros(4), np.zeros((5, 1)), np.full(5, math.nan), np.array([0, 0, 0, 0, 1.01]), np.full(5, -0.1)],
)
def test_a_point_outside_the_cube_is_refused(point):
    with pytest.raises(ValueError, match="expected 5 numbers"):
        NESTED.from_unit(point)


def test_a_value_that_is_not_the_genes_has_no_place_in_the_cube():
    for gene, value in (
        (FloatGene("x", 0.0, 1.0), 2.0),
        (IntGene("x", 0, 10, step=5), 6),
        (ChoiceGene("x", ("a",)), "b"),
    ):
        with pytest.raises(SpaceError, match=r"^x: .* is not one of this gene's values; "):
            gene.to_unit(value)


@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_a_sample_hits_each_stratum_of_each_axis_once(n):
    space = Space((FloatGene("a", 0.0, 1.0), FloatGene("b", 1e-3, 1.0, log=True), IntGene("c", 0, n)))
    genomes = space.sample(n, np.random.default_rng(3))
    strata = [[int(space.to_unit(genome)[axis] * n) for genome in genomes] for axis in (0, 1)]
    assert [sorted(axis) for axis in strata] == [list(range(n))] * 2
    assert n < 5 or strata[0] != strata[1]


def test_a_sample_spreads_choices_evenly():
    space = Space((ChoiceGene("a", ("x", "y", "z", "w")),))
    drawn = [genome["a"] for genome in space.sample(40, np.random.default_rng(0))]
    assert {choice: drawn.count(choice) for choice in "xyzw"} == dict.fromkeys("xyzw", 10)


def test_a_sample_depends_on_its_generator_only():
    draws = [NESTED.sample(9, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert draws[0] == draws[1] != draws[2]
    assert all(NESTED.contains(genome) for genome in draws[0])


def test_a_sample_of_none_is_empty():
    assert NESTED.sample(0, np.random.default_rng(0)) == []


@pytest.mark.parametrize("space", [NESTED, LAYERED])
def test_a_space_comes_back_from_json(space):
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"genes": 3},
        {"genes": [{}]},
        {"genes": [{"kind": "odd", "name": "a", "when": []}]},
        {"genes": [{"kind": "float", "name": "a", "low": 0.0, "when": []}]},
        {"genes": [{"kind": "float", "name": "a", "low": "x", "high": 1.0, "when": []}]},
    ],
)
def test_junk_in_place_of_a_recorded_space_is_one_line(data):
    with pytest.raises(SpaceError, match=r"^genes: no recorded search space \(.*\); ") as caught:
        Space.from_json(data)
    assert "\n" not in str(caught.value)
