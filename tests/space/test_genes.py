import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hebbevo.errors import SpaceError
from hebbevo.space import (
    ChoiceGene,
    FloatGene,
    GeneError,
    IntGene,
    Space,
)
from hebbevo.space.genes import LARGEST_INT
from tests.space.conftest import NESTED, UNIT

GRID = np.linspace(0, 1, 4001)


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
    low = draw(st.integers(1 if log else -LARGEST_INT, LARGEST_INT - 1))
    high = draw(st.integers(low + 1, LARGEST_INT))
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
        (
            lambda: FloatGene("a", 0.0, 1.0, step=0.0),
            "a.step: 0.0 does not fit; write a number above 0, up to 1",
        ),
        (lambda: FloatGene("a", 0.0, 1.0, step=1.5), "a.step: 1.5 does not fit"),
        (lambda: FloatGene("a", 0.1, 1.0, log=True, step=0.1), "a.step: log takes no step"),
        (lambda: FloatGene("a", 0.1, 1.0, zero=True), "a.zero: is for a range with log; write low: 0, or"),
        (lambda: ChoiceGene("a", ([1, 2], [1, 2.0])), "a.choices.1: [1, 2.0] stands here twice"),
        (lambda: ChoiceGene("a", ([],)), "a.choices.0: [] is not usable"),
        (
            lambda: ChoiceGene("a", ([1, [2]],)),
            "a.choices.0: [1, [2]] is not usable; write a finite number, te",
        ),
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


def test_a_gene_error_survives_pickling():
    error = GeneError("a", ("low",), "is wrong; mend it")
    assert str(pickle.loads(pickle.dumps(error))) == "a.low: is wrong; mend it"


def test_a_value_of_another_type_or_out_of_range_is_not_contained():
    good = {"kind": "small", "depth": 1}
    assert NESTED.contains(good)
    for bad in ({"depth": 4}, {"depth": 2.0}, {"depth": True}, {"kind": "huge"}, {"kind": 1}):
        assert not NESTED.contains({**good, **bad})
    gene = FloatGene("x", 0.0, 1.0)
    assert gene.contains(0.0) and not any(map(gene.contains, (0, 1, -0.1, 1.1, math.nan, True, "0.5", None)))


@st.composite
def stepped_genes(draw):
    low = draw(st.integers(-50, 50)) / draw(st.sampled_from([1, 2, 3, 10]))
    step = draw(st.integers(1, 40)) / draw(st.sampled_from([1, 7, 10, 100]))
    return FloatGene(
        "x", low, low + step * draw(st.integers(1, 60)) + step * draw(st.floats(0.01, 0.9)), step=step
    )


@given(stepped_genes(), UNIT)
def test_a_float_with_a_step_is_one_of_as_many_values_and_comes_back_exactly(gene, u):
    value = gene.from_unit(u)
    assert gene.contains(value)
    assert gene.from_unit(gene.to_unit(value)) == value
    number = (value - gene.low) / gene.step
    assert abs(number - round(number)) < 1e-6
    values = [gene.on_step(number) for number in range(gene.count)]
    assert values == sorted({*values})
    assert values[-1] <= gene.high < values[-1] + gene.step * 1.001
    assert not gene.contains(value + gene.step / 2)
    assert gene.snap(np.array([u])) == gene.to_unit(value)
    start, end = gene.part(u)
    assert start <= u <= end
    assert gene.from_unit((start + end) / 2) == value


def test_steps_have_the_decimals_that_are_written():
    gene = FloatGene("x", 0.1, 0.7, step=0.1)
    assert [gene.on_step(number) for number in range(gene.count)] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert FloatGene("x", 0.0, 1.0, step=0.3).from_unit(1.0) == 0.9
    assert FloatGene("x", -1, 1, step=1).from_unit(0.5) == 0.0


@given(UNIT)
def test_the_zero_beside_a_range_has_the_first_tenth_and_the_range_the_rest(u):
    gene, alone = FloatGene("x", 1e-4, 1.0, log=True, zero=True), FloatGene("x", 1e-4, 1.0, log=True)
    value = gene.from_unit(u)
    assert value == 0 if u < 0.1 else math.isclose(value, alone.from_unit((u - 0.1) / 0.9))
    assert gene.contains(value)
    back = gene.to_unit(value)
    assert math.isclose(gene.from_unit(back), value, rel_tol=1e-12)
    assert math.isclose(back, 0.05 if value == 0 else u, abs_tol=1e-12)
    assert gene.snap(np.array([u])) == (0.05 if value == 0 else u)
    assert gene.part(u) == ((0, 0.1) if value == 0 else None)
    assert [gene.from_unit(end) for end in (0.0, 0.1, 1.0)] == [0.0, 1e-4, 1.0]
    assert not any(map(gene.contains, (1e-5, 0, -0.5)))


def test_a_choice_that_is_a_list_is_given_as_a_copy():
    gene = ChoiceGene("x", ([1, 2], [3]))
    gene.from_unit(0.0).append(9)
    assert gene.from_unit(0.0) == [1, 2]
    assert gene.to_unit([3]) == 0.75
    assert not gene.contains([1, True])


def test_a_space_with_steps_zeros_and_lists_comes_back_from_json_and_older_genes_are_written_as_before():
    space = Space(
        (
            FloatGene("x", 0.0, 1.0, step=0.25),
            FloatGene("y", 1e-3, 1.0, log=True, zero=True),
            ChoiceGene("z", ([1, 2], "a")),
            FloatGene("w", 0.0, 1.0, when=(("x", (0.25, 0.5)),)),
        )
    )
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space
    assert space.active({"x": 0.5, "y": 0.0, "z": "a"}) == ("x", "y", "z", "w")
    plain = Space((FloatGene("x", 0.0, 1.0),)).to_json()["genes"]
    assert plain == [{"kind": "float", "name": "x", "low": 0.0, "high": 1.0, "log": False, "when": ()}]
    point = np.array([0.6, 0.05, 0.3, 0.7])
    assert (space.snap(point[None])[0] == space.to_unit(space.from_unit(point))).all()
