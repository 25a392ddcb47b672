import math

import numpy as np
import pytest

from hebbevo.space import FloatGene, IntGene
from hebbevo.study.knob_axis import KnobAxis

PENALTY = KnobAxis(FloatGene("penalty", 0.01, 100.0, log=True))
EVERY_KIND = [
    FloatGene("log", 0.01, 100.0, log=True),
    FloatGene("short", 0.5, 2.0, log=True),
    FloatGene("odd", 3e-4, 1e-2, log=True),
    FloatGene("linear", -1.0, 1.0),
    FloatGene("steps", 0.0, 1.0, step=0.25),
    FloatGene("zero", 1e-4, 0.1, log=True, zero=True),
    IntGene("few", 1, 4),
    IntGene("many", 1, 1000),
    IntGene("stride", 10, 95, step=7),
    IntGene("width", 1, 4096, log=True),
]


def draws(gene, n=500):
    return [gene.from_unit(u) for u in np.random.default_rng(0).random(n)]


@pytest.mark.parametrize(
    ("value", "cell"), [(0.01, 0), (0.0316, 0), (0.0317, 1), (1.01, 4), (99.0, 7), (100.0, 7)]
)
def test_a_logarithmic_axis_is_cut_into_half_decades(value, cell):
    assert PENALTY.cell_numbers([value]).tolist() == [cell]
    assert len(PENALTY.cells) == 8
    assert PENALTY.cells[cell].low == pytest.approx(10 ** (cell / 2 - 2))


def test_a_linear_axis_is_cut_into_eight_equal_parts_and_few_values_into_one_part_each():
    assert [cell.low for cell in KnobAxis(FloatGene("x", -1.0, 1.0)).cells] == pytest.approx(
        np.linspace(-1, 1, 9)[:-1]
    )
    assert [cell.text for cell in KnobAxis(IntGene("depth", 1, 4)).cells] == ["1", "2", "3", "4"]
    assert [cell.text for cell in KnobAxis(FloatGene("x", 0.0, 1.0, step=0.5)).cells] == ["0", "0.5", "1"]


@pytest.mark.parametrize("gene", EVERY_KIND, ids=lambda gene: gene.name)
def test_each_value_lies_between_the_ends_of_its_own_cell(gene):
    axis = KnobAxis(gene)
    values = draws(gene)
    for value, number in zip(values, axis.cell_numbers(values), strict=True):
        cell = axis.cells[number]
        assert cell.low <= value * (1 + 1e-9) + 1e-12
        assert value <= cell.high * (1 + 1e-9) + 1e-12
    lows = [cell.low for cell in axis.cells]
    assert lows == sorted(set(lows))


@pytest.mark.parametrize("gene", EVERY_KIND, ids=lambda gene: gene.name)
def test_the_cells_hold_every_value_of_whole_numbers_once(gene):
    if isinstance(gene, IntGene):
        axis = KnobAxis(gene)
        numbers = axis.cell_numbers(gene.values)
        assert (np.diff(numbers) >= 0).all()
        assert set(numbers) == set(range(len(axis.cells)))
        for number, cell in enumerate(axis.cells):
            own = [value for value, n in zip(gene.values, numbers, strict=True) if n == number]
            assert (min(own), max(own)) == (cell.low, cell.high)


@pytest.mark.parametrize("gene", EVERY_KIND, ids=lambda gene: gene.name)
def test_the_position_of_a_value_lies_in_its_cell(gene):
    axis = KnobAxis(gene)
    values = draws(gene)
    positions, numbers = axis.positions(values), axis.cell_numbers(values)
    assert ((numbers - 1e-9 <= positions) & (positions <= numbers + 1 + 1e-9)).all()


def test_a_zero_beside_the_range_is_a_cell_without_a_place():
    axis = KnobAxis(FloatGene("rate", 1e-4, 0.1, log=True, zero=True))
    assert axis.cells[0].text == "0"
    assert math.isnan(axis.places([0.0])[0])
    assert axis.places([1e-4, 0.1]) == pytest.approx([0, 1])
    assert axis.cell_numbers([0.0, 1e-4, 0.1]).tolist() == [0, 1, 6]
    assert axis.ticks()[0] == (0.5, "0")


def test_a_value_is_where_its_place_is():
    for gene in EVERY_KIND:
        axis = KnobAxis(gene)
        values = [value for value in draws(gene, 50) if not (gene.name == "zero" and value == 0)]
        assert [axis.value(place) for place in axis.places(values)] == pytest.approx(values)


def test_the_ticks_are_the_ends_of_half_decades():
    texts = ["0.01", "0.0316", "0.1", "0.316", "1", "3.16", "10", "31.6", "100"]
    assert PENALTY.ticks() == [*enumerate(texts)]
