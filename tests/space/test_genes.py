import itertools
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hebbevo.errors import SpaceError
from hebbevo.space import (
    LARGEST,
    ChoiceGene,
    FloatGene,
    GeneError,
    IntGene,
    Space,
    canonical,
    expanded,
    problems,
    same,
)

UNIT = st.floats(0, 1)
GRID = np.linspace(0, 1, 4001)

NESTED = Space(
    (
        FloatGene("size", 1.0, 2.0, when=(("kind", ("big",)), ("extra", (True,)))),
        ChoiceGene("kind", ("small", "big")),
        ChoiceGene("extra", (False, True), when=(("kind", ("big",)),)),
        IntGene("depth", 1, 3),
        FloatGene("rate", 1e-3, 1e-1, log=True, when=(("depth", (2, 3)),)),
    )
)


WRITTEN = (
    IntGene("width", 4, 64, log=True),
    IntGene("depth", 1, 3),
    ChoiceGene("rule", ("plastic", "plain")),
    ChoiceGene("birth", ("fresh", "old"), when=(("rule", ("plastic",)),)),
    IntGene("grace", 0, 50, when=(("birth", ("fresh",)), ("depth", (1, 3)))),
)
REPEATS = {"width": "depth", "birth": "depth", "grace": "depth"}
LAYERED = Space(expanded(WRITTEN, REPEATS))


@st.composite
def float_genes(draw):
    log = draw(st.booleans())
    low = draw(st.floats(1e-300 if log else -1e300, 9e299))
    high = draw(st.floats(low, 1e300, exclude_min=True))
    try:
        return FloatGene("x", low, high, log)
    except GeneError as error:
        assert "too narrow or too wide" in str(error)
        return FloatGene("x", 1.0, 2.0, log)


@st.composite
def int_genes(draw):
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -LARGEST, LARGEST - 1))
    high = draw(st.integers(low + 1, LARGEST))
    return IntGene("x", low, high, 1 if log else draw(st.integers(1, high - low)), log)


@given(float_genes(), UNIT)
def test_a_float_stays_in_bounds_and_comes_back(gene, u):
    value = gene.from_unit(u)
    assert type(value) is float and gene.contains(value)
    again = gene.from_unit(gene.to_unit(value))
    if gene.log:
        assert math.isclose(again, value, rel_tol=1e-9)
    else:
        assert abs(again / 2 - value / 2) <= 1e-12 * (gene.high / 2 - gene.low / 2) + 1e-12 * abs(value)


@given(float_genes())
def test_the_ends_of_the_unit_interval_are_exactly_the_bounds(gene):
    assert (gene.from_unit(0.0), gene.from_unit(1.0)) == (gene.low, gene.high)
    assert (gene.to_unit(gene.low), gene.to_unit(gene.high)) == (0.0, 1.0)


def test_the_middle_of_a_log_range_is_the_geometric_mean():
    assert FloatGene("x", 1e-4, 1.0, log=True).from_unit(0.5) == pytest.approx(1e-2, rel=1e-12)
    assert FloatGene("x", -1.0, 3.0).from_unit(0.25) == 0.0


@given(int_genes(), UNIT)
def test_an_int_stays_in_bounds_and_comes_back_exactly(gene, u):
    value = gene.from_unit(u)
    assert gene.contains(value)
    assert gene.from_unit(gene.to_unit(value)) == value


@pytest.mark.parametrize(("low", "high", "step"), [(0, 1, 1), (-3, 7, 1), (2, 10, 4), (5, 12, 3)])
def test_ints_split_the_unit_interval_into_equal_bins(low, high, step):
    gene = IntGene("x", low, high, step)
    values = list(range(low, high + 1, step))
    for u in GRID:
        reached = [value for i, value in enumerate(values) if i <= u * len(values)][-1]
        assert gene.from_unit(u) == reached
    for i, value in enumerate(values):
        assert gene.to_unit(value) == pytest.approx((i + 0.5) / len(values))


@pytest.mark.parametrize(("low", "high"), [(1, 2), (1, 9), (3, 40)])
def test_log_ints_take_the_value_whose_rounding_range_holds_the_point(low, high):
    gene = IntGene("x", low, high, log=True)
    edges = np.log(np.arange(low, high + 2) - 0.5)
    edges = (edges - edges[0]) / (edges[-1] - edges[0])
    for u in GRID[(np.abs(GRID[:, None] - edges) > 1e-9).all(1)]:
        assert gene.from_unit(u) == low + np.searchsorted(edges, u) - 1
    for value, left, right in zip(range(low, high + 1), edges, edges[1:], strict=False):
        assert gene.to_unit(value) == pytest.approx((left + right) / 2)


def test_choices_split_the_unit_interval_into_equal_bins():
    gene = ChoiceGene("x", ("a", "b", 3, True))
    assert [gene.from_unit(u) for u in (0.0, 0.249, 0.25, 0.6, 0.75, 1.0)] == ["a", "a", "b", 3, True, True]
    assert [gene.to_unit(choice) for choice in gene.choices] == [0.125, 0.375, 0.625, 0.875]


def test_one_is_not_true():
    assert not same(1, True) and not same(False, 0.0) and same(1, 1.0) and same("a", "a")
    assert ChoiceGene("x", (True, 1)).to_unit(1) == 0.75
    assert not ChoiceGene("x", (False, True)).contains(1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: FloatGene("a", 1.0, 1.0), "a.high: 1.0 is not above low, which is 1.0; "),
        (lambda: FloatGene("a", 2.0, 1.0), "a.high: 1.0 is not above low"),
        (lambda: FloatGene("a", 0.0, 1.0, log=True), "a.low: 0.0 has no place under log"),
        (lambda: FloatGene("a", math.nan, 1.0), "a.low: nan is not finite"),
        (lambda: FloatGene("a", 0.0, math.inf), "a.high: inf is not finite"),
        (
            lambda: FloatGene("a", -1e308, 1e308),
            "a.high: the range from -1e+308 to 1e+308 is too narrow or too",
        ),
        (lambda: FloatGene("a", 1e9, math.nextafter(1e9, 2e9), log=True), "a.high: the range"),
        (lambda: IntGene("a", 3, 3), "a.high: 3 is not above low"),
        (lambda: IntGene("a", 0, 3, log=True), "a.low: 0 has no place under log"),
        (lambda: IntGene("a", 0, 3, step=0), "a.step: 0 does not fit; write a whole number from 1 to 3"),
        (lambda: IntGene("a", 0, 3, step=4), "a.step: 4 does not fit"),
        (lambda: IntGene("a", 1, 3, step=2, log=True), "a.step: log takes no step"),
        (lambda: IntGene("a", 0, 2**31), "a.high: 2147483648 is not usable"),
        (lambda: IntGene("a", 0, 1.5), "a.high: 1.5 is not usable"),
        (lambda: ChoiceGene("a", ()), "a.choices: there is none"),
        (lambda: ChoiceGene("a", ("x", "y", "x")), "a.choices.2: 'x' stands here twice"),
        (lambda: ChoiceGene("a", (1, 1.0)), "a.choices.1: 1.0 stands here twice"),
        (lambda: ChoiceGene("a", (math.nan,)), "a.choices.0: nan is not usable"),
        (lambda: ChoiceGene("a", (None,)), "a.choices.0: None is not usable"),
        (lambda: Space((IntGene("a", 0, 1), IntGene("a", 0, 2))), "a: there are two genes of this name"),
        (lambda: Space((IntGene("a", 0, 1, when=(("b", (1,)),)),)), "a.when.b: there is no gene b"),
        (
            lambda: Space((IntGene("a", 0, 1, when=(("a", (1,)),)),)),
            "a.when: the conditions go in a circle (a > a)",
        ),
    ],
)
def test_an_impossible_gene_is_one_line_that_starts_with_its_name(make, text):
    with pytest.raises(SpaceError) as caught:
        make()
    assert str(caught.value).startswith(text)
    assert ";" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parent", "value", "fragment"),
    [
        (ChoiceGene("p", ("x", "y")), "z", "p is never z"),
        (ChoiceGene("p", (False, True)), 1, "p is never 1"),
        (IntGene("p", 0, 10, step=2), 3, "p is never 3"),
        (FloatGene("p", 0.0, 1.0), 0.5, "p is a real number"),
    ],
)
@pytest.mark.parametrize("possible", [(), (0,), ("x",)])
def test_a_condition_that_cannot_be_met_is_refused(parent, value, fragment, possible):
    values = (*filter(parent.contains, possible), value)
    with pytest.raises(SpaceError, match=r"^a\.when\.p: ") as caught:
        Space((IntGene("a", 0, 1, when=(("p", values),)), parent))
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("values", "fragment"), [((), "there is no value; "), ((1, 0, 1), "1 stands here twice; drop one")]
)
def test_a_condition_names_each_value_once_and_at_least_one(values, fragment):
    with pytest.raises(SpaceError, match=r"^a\.when\.p: ") as caught:
        Space((IntGene("a", 0, 1, when=(("p", values),)), IntGene("p", 0, 1)))
    assert fragment in str(caught.value)


def test_conditions_in_a_circle_are_refused():
    ring = [IntGene(name, 0, 1, when=((other, (1,)),)) for name, other in ("ab", "bc", "ca")]
    with pytest.raises(SpaceError, match=r"a\.when: the conditions go in a circle \(\w > \w > \w > \w\)"):
        Space(tuple(ring))


def test_all_problems_between_genes_are_found_in_their_order():
    genes = [
        IntGene("a", 0, 1, when=(("a", (1,)),)),
        IntGene("b", 0, 1, when=(("x", (1,)), ("a", (7,)))),
    ]
    assert [(p.gene, p.path) for p in problems(genes, {})] == [
        ("a", ("when",)),
        ("b", ("when", "x")),
        ("b", ("when", "a")),
    ]


def test_a_space_without_genes_is_refused():
    with pytest.raises(SpaceError, match="genome: there is no gene; give at least one"):
        Space(())


def test_a_gene_error_survives_pickling():
    error = GeneError("a", ("low",), "is wrong; mend it")
    assert str(pickle.loads(pickle.dumps(error))) == "a.low: is wrong; mend it"


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


def test_a_value_of_another_type_or_out_of_range_is_not_contained():
    good = {"kind": "small", "depth": 1}
    assert NESTED.contains(good)
    for bad in ({"depth": 4}, {"depth": 2.0}, {"depth": True}, {"kind": "huge"}, {"kind": 1}):
        assert not NESTED.contains({**good, **bad})
    gene = FloatGene("x", 0.0, 1.0)
    assert gene.contains(0.0) and not any(map(gene.contains, (0, 1, -0.1, 1.1, math.nan, True, "0.5", None)))


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


def test_the_canonical_text_does_not_know_the_order_of_the_genes():
    genome = {"b": 0.1 + 0.2, "a": True, "c": "é", "d": 3}
    texts = {canonical(dict(order)) for order in itertools.permutations(genome.items())}
    assert texts == {'{"a":true,"b":0.30000000000000004,"c":"\\u00e9","d":3}'}


def test_the_canonical_text_tells_types_apart():
    assert len({canonical({"a": value}) for value in (1, 1.0, True, "1")}) == 4
    assert canonical({"a": np.float64(0.1)}) == canonical({"a": 0.1})
