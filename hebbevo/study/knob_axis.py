"""The axis of a numeric gene: where its values lie on it, and the cells into which it is cut."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hebbevo.space import FloatGene, IntGene
from hebbevo.space.genes import ZERO_PART

CELLS = 8
"""Cells of a linear axis."""
_FEWEST_CELLS = 4  # of a logarithmic axis, however short


@dataclass(frozen=True)
class Cell:
    """A part of the axis.

    Attributes:
        low: its smallest value.
        high: its largest value; of a real number, where the next cell begins.
        text: its values in words, as ``0.1 to 0.316``.
    """

    low: float
    high: float
    text: str


@dataclass(frozen=True)
class KnobAxis:
    """The axis of a gene, from 0 at its smallest value to 1 at its largest one, as samplers see it.

    A logarithmic range is cut into half decades, a linear one into 8 equal parts. A zero beside a logarithmic
    range is a cell of its own, and has no place on the axis.

    >>> axis = KnobAxis(FloatGene("penalty", 0.01, 100.0, log=True))
    >>> [cell.text for cell in axis.cells][:2]
    ['0.01 to 0.0316', '0.0316 to 0.1']
    >>> axis.cell_numbers([0.02, 100.0]).tolist()
    [0, 7]
    """

    gene: FloatGene | IntGene

    @property
    def log(self) -> bool:
        """Whether it is logarithmic."""
        return self.gene.log

    @property
    def has_zero(self) -> bool:
        """Whether its first cell is a zero beside the range."""
        return isinstance(self.gene, FloatGene) and self.gene.zero

    def places(self, values: Iterable[float]) -> NDArray[np.float64]:
        """The places of values, 0 to 1; NaN for a zero beside the range."""
        return np.array([self._place(value) for value in values], dtype=float)

    def value(self, place: float) -> float:
        """The value at a place, 0 to 1."""
        return float(self.gene.from_unit(ZERO_PART + place * (1 - ZERO_PART) if self.has_zero else place))

    def cell_numbers(self, values: Iterable[float]) -> NDArray[np.intp]:
        """The number of the cell in which each value lies."""
        places = self.places(values)
        zero = np.isnan(places)
        parts = np.minimum(np.where(zero, 0.0, places) * self._parts, self._parts - 1).astype(int)
        numbers = [self._numbers[part] + self.has_zero for part in parts.tolist()]
        return np.where(zero, 0, np.array(numbers, dtype=np.intp))

    def positions(self, values: Iterable[float]) -> NDArray[np.float64]:
        """Where values lie if each cell has the width 1; in the middle of a cell with a step or a zero."""
        values = [*values]
        numbers = self.cell_numbers(values).astype(float)
        if self._count:
            return numbers + 0.5
        return np.where(np.isnan(self.places(values)), 0.5, self.places(values) * self._parts + self.has_zero)

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels: the ends of cells of real numbers, or the middles of cells with names."""
        if self._count:
            return [(number + 0.5, cell.text) for number, cell in enumerate(self.cells)]
        first = int(self.has_zero)
        ends = [(number, f"{cell.low:.3g}") for number, cell in enumerate(self.cells)][first:]
        zero = [(0.5, "0")] * first
        return [*zero, *ends, (len(self.cells), f"{self.cells[-1].high:.3g}")]

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells that hold a value, from the smallest."""
        zero = [Cell(0.0, 0.0, "0")] if self.has_zero else []
        return [*zero, *(self._cell(part) for part in self._numbers)]

    @cached_property
    def _parts(self) -> int:
        """Into how many equal parts the axis is cut."""
        wanted = CELLS
        if self.log:
            wanted = max(_FEWEST_CELLS, round(2 * math.log10(self.gene.high / self.gene.low)))
        return min(wanted, self._count or wanted)

    @cached_property
    def _numbers(self) -> dict[int, int]:
        """The parts of the axis that hold a value, with their numbers; small whole numbers lie far apart."""
        if not self._count:
            return {part: part for part in range(self._parts)}
        held = [part for part in range(self._parts) if self._first_in(part) < self._first_in(part + 1)]
        return {part: number for number, part in enumerate(held)}

    @property
    def _count(self) -> int:
        """How many values the gene has; 0 for all real numbers of the range."""
        return len(self.gene.values) if isinstance(self.gene, IntGene) else self.gene.count

    def _on_step(self, number: int) -> float:
        return self.gene.values[number] if isinstance(self.gene, IntGene) else self.gene.on_step(number)

    def _first_in(self, part: int) -> int:
        """The number of the first value that lies in a part of the axis, or behind it."""
        start = part / self._parts
        if part >= self._parts:
            return self._count
        return bisect.bisect_left(range(self._count), start, key=lambda i: self._place(self._on_step(i)))

    def _cell(self, part: int) -> Cell:
        if self._count:
            low, high = (self._on_step(i) for i in (self._first_in(part), self._first_in(part + 1) - 1))
            return Cell(low, high, f"{low:g}" if low == high else f"{low:g} to {high:g}")
        low, high = (self.value(each / self._parts) for each in (part, part + 1))
        return Cell(low, high, f"{low:.3g} to {high:.3g}")

    def _place(self, value: float) -> float:
        if not self.has_zero:
            return self.gene.to_unit(int(value) if isinstance(self.gene, IntGene) else float(value))
        return math.nan if value == 0 else (self.gene.to_unit(float(value)) - ZERO_PART) / (1 - ZERO_PART)
