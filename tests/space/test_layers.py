import itertools

import pytest

from hebbevo.space import (
    ChoiceGene,
    FloatGene,
    IntGene,
    Space,
    expanded,
    problems,
)
from tests.space.conftest import LAYERED


def test_a_repeated_gene_becomes_one_a_layer_in_its_place():
    names = [gene.name for gene in LAYERED.genes]
    layers = [[f"{name}.{layer}" for layer in (1, 2, 3)] for name in ("width", "birth", "grace")]
    assert names == [*layers[0], "depth", "rule", *layers[1], *layers[2]]
    assert {(gene.low, gene.high, gene.log) for gene in LAYERED.genes[:3]} == {(4, 64, True)}


def test_a_layer_has_its_genes_while_the_depth_reaches_it_and_the_conditions_hold():
    for depth, rule, *births in itertools.product((1, 2, 3), ("plastic", "plain"), *[("fresh", "old")] * 3):
        values = {gene.name: gene.from_unit(0.3) for gene in LAYERED.genes}
        values |= {"depth": depth, "rule": rule}
        values |= {f"birth.{layer}": birth for layer, birth in enumerate(births, start=1)}
        layers = range(1, depth + 1)
        expected = {"depth", "rule", *(f"width.{layer}" for layer in layers)}
        if rule == "plastic":
            expected |= {f"birth.{layer}" for layer in layers}
        if rule == "plastic" and depth != 2:
            expected |= {f"grace.{layer}" for layer in layers if births[layer - 1] == "fresh"}
        assert set(LAYERED.active(values)) == expected


def test_a_gene_repeated_by_a_number_exists_in_every_layer():
    gene = FloatGene("x", 0.0, 1.0, when=(("a", (1,)),))
    _, one, two = expanded([IntGene("a", 0, 1), gene], {"x": 2})
    assert (one, two) == tuple(FloatGene(f"x.{k}", 0.0, 1.0, when=(("a", (1,)),)) for k in (1, 2))


def test_layers_follow_the_steps_of_the_gene_that_counts_them():
    genes = expanded([IntGene("n", 2, 9, step=3), IntGene("x", 0, 1)], {"x": "n"})
    assert [(gene.name, gene.when) for gene in genes[1:]] == [
        ("x.1", ()),
        ("x.2", ()),
        *[(f"x.{k}", (("n", (5, 8)),)) for k in (3, 4, 5)],
        *[(f"x.{k}", (("n", (8,)),)) for k in (6, 7, 8)],
    ]


def test_without_the_gene_that_counts_there_is_no_layer_of_its_own():
    depth = IntGene("depth", 1, 2, when=(("deep", (True,)),))
    space = Space(expanded([ChoiceGene("deep", (False, True)), depth, IntGene("x", 0, 1)], {"x": "depth"}))
    values = {"depth": 1, "x.1": 0, "x.2": 0}
    assert space.active({"deep": False, **values}) == ("deep",)
    assert space.active({"deep": True, **values}) == ("deep", "depth", "x.1")


@pytest.mark.parametrize(
    ("genes", "repeats", "line"),
    [
        ([IntGene("x", 0, 1)], {"x": "n"}, "x.repeat: there is no gene n; "),
        ([FloatGene("n", 1.0, 3.0), IntGene("x", 0, 1)], {"x": "n"}, "x.repeat: n is no int gene; "),
        ([ChoiceGene("n", (1, 3)), IntGene("x", 0, 1)], {"x": "n"}, "x.repeat: n is no int gene; "),
        (
            [IntGene("n", 0, 3), IntGene("x", 0, 1)],
            {"x": "n"},
            "x.repeat: n goes from 0 to 3; write a range within 1 to 20 there",
        ),
        ([IntGene("n", 1, 21), IntGene("x", 0, 1)], {"x": "n"}, "x.repeat: n goes from 1 to 21; "),
        ([IntGene("n", 1, 2), IntGene("x", 1, 2)], {"x": "n", "n": 2}, "x.repeat: n is repeated itself; "),
        ([IntGene("x", 1, 2)], {"x": "x"}, "x.repeat: x is repeated itself; "),
        (
            [IntGene("x", 0, 1), IntGene("y", 0, 1, when=(("x", (1,)),))],
            {"x": 2},
            "y.when.x: x differs from layer to layer; write repeat: 2 for y too",
        ),
        (
            [IntGene("x", 0, 1), IntGene("y", 0, 1, when=(("x", (1,)),))],
            {"x": 2, "y": 3},
            "y.when.x: x differs from layer to layer; write repeat: 2 for y too",
        ),
        (
            [
                IntGene("n", 1, 2, when=(("a", (1,)),)),
                IntGene("a", 0, 1, when=(("x", (1,)),)),
                IntGene("x", 0, 1),
            ],
            {"x": "n", "a": "n"},
            "n.when.a: a differs from layer to layer; ",
        ),
        ([IntGene("x", 0, 1), IntGene("x.2", 0, 1)], {"x": 2}, "x.2: x is repeated and takes this name; "),
    ],
)
def test_a_repeat_that_makes_no_sense_is_one_line(genes, repeats, line):
    first = problems(genes, repeats)[0]
    assert str(first).startswith(line)
    assert ";" in str(first)


def test_a_gene_that_counts_the_layers_of_its_own_condition_goes_in_a_circle():
    genes = [IntGene("n", 1, 2, when=(("x", (1,)),)), IntGene("x", 0, 1)]
    assert "n.when: the conditions go in a circle" in str(problems(genes, {"x": "n"})[-1])
