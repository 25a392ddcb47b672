"""The axes of floats and ints, along which CMA-ES steps, and the least step along each."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from hebbevo.samplers.unit_cube import Point
from hebbevo.space import ChoiceGene, FloatGene, IntGene, Space

FINEST = 1e-9
"""The smallest standard deviation of a distribution: finer than any constant needs to be set."""


class NumericAxes:
    """The genes of a space that have a direction, and how narrow a normal distribution may get along them.

    Args:
        space: the genes.
        margin: the least probability with which a step leaves the value of an int.

    Attributes:
        numeric: the numbers of the floats and ints among the genes.
        choices: the numbers of the genes with choices.
    """

    def __init__(self, space: Space, margin: float) -> None:
        is_choice = np.array([isinstance(gene, ChoiceGene) for gene in space.genes])
        self.numeric, self.choices = np.flatnonzero(~is_choice), np.flatnonzero(is_choice)
        genes = [space.genes[place] for place in self.numeric]
        self._with_parts = [
            (axis, gene)
            for axis, gene in enumerate(genes)
            if isinstance(gene, IntGene) or (isinstance(gene, FloatGene) and (gene.step or gene.zero))
        ]
        # the distance of an edge, in standard deviations, at which the margin is kept. An int at an end of
        # its range has one inner edge only, which is then crossed with the whole margin
        self._reach = {edges: NormalDist().inv_cdf(1 - margin / edges) for edges in (1, 2)}

    def coordinates(self, point: Point) -> Point:
        """The numeric coordinates of a point, (axes,); one idle axis if there are none, as DEAP needs one."""
        return point[self.numeric] if len(self.numeric) else np.array([0.5])

    def least_deviations(self, centre: Point) -> Point:
        """The smallest standard deviations, (axes,), of a normal distribution around ``centre``, (axes,).

        With these a step leaves the value of an int with the probability ``margin``: half of it over each
        edge of the value, counted at the edge that is farther away. Hamano et al. (2022, arXiv:2205.13482)
        also move the centre; here it stays.
        """
        deviations = np.full(len(centre), FINEST)
        for axis, gene in self._with_parts:
            edges = [edge for edge in _cell(gene, centre[axis]) if 0.0 < edge < 1.0]
            if not edges:
                continue
            far = max(abs(edge - centre[axis]) for edge in edges)
            deviations[axis] = max(far / self._reach[len(edges)], FINEST)
        return deviations


def _cell(gene: IntGene | FloatGene, u: float) -> tuple[float, ...]:
    """The part of [0, 1] in which ``gene`` has the value that it has at ``u``; empty for a point."""
    if isinstance(gene, FloatGene):
        return gene.part(u) or ()
    warp = math.log if gene.log else float
    value, half = gene.from_unit(u), gene.step / 2
    start, end = warp(gene.low - half), warp(gene.values[-1] + half)
    low, high = ((warp(edge) - start) / (end - start) for edge in (value - half, value + half))
    return low, high
