"""CMA-ES on the unit cube of the genes, for one objective or for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hebbevo.samplers.cmaes_strategies import (
    Member,
    MultiObjectiveStrategy,
    SingleObjectiveStrategy,
    Strategy,
)
from hebbevo.samplers.knobs import CMAES
from hebbevo.samplers.numeric_axes import NumericAxes
from hebbevo.samplers.sampler import Outcome, Sampler
from hebbevo.samplers.unit_cube import Point
from hebbevo.space import Genome
from hebbevo.space.knobs import Scalar


class CmaEs(Sampler):
    """Evolution strategies that learn how far, and in which directions, to step.

    With several objectives this is the MO-CMA-ES (Igel, Hansen & Roth, 2007, doi:10.1162/evco.2007.15.1.1;
    Voss, Hansen & Igel, 2010, doi:10.1145/1830483.1830573). There every parent has a normal distribution of
    its own. With one objective it is the CMA-ES (Hansen & Ostermeier, 2001,
    doi:10.1162/106365601750190398): one normal distribution around the weighted mean of the better half.

    The axes are those of floats and ints. A step out of the cube is reflected into it. The reflected step is
    what is learnt from, since it is the one that was trained; so neither parents nor means leave the cube.
    Along the axis of an int a distribution never gets so narrow that it no longer leaves the int's value
    (CMA-ES with margin, Hamano et al., 2022, arXiv:2205.13482, and 2024, arXiv:2212.09260).

    Choices have no directions. A child has those of its parent, or of one of the better half, and each is
    redrawn with the probability ``redraw``. The coordinates of inactive genes are varied all the same. The
    first generation is a Latin hypercube. Nothing is learnt from failed trainings. Only the order of losses,
    and ratios of hypervolumes, count; so rescaling a loss changes no proposal.

    Attributes:
        axes: which genes have directions.
        strategy: what was learnt so far.
        drawn: the points of the last generation, each with the number of its parent. The number is ``None``
            for a point of the Latin hypercube, and for one drawn anywhere.
    """

    knobs = CMAES

    def _set_up(self, settings: Mapping[str, Scalar]) -> None:
        kind = MultiObjectiveStrategy if self.objectives > 1 else SingleObjectiveStrategy
        self.axes = NumericAxes(self.space, float(settings["margin"]))
        self.strategy: Strategy = kind(self.axes, float(settings["sigma"]))
        self.drawn: list[tuple[Point, int | None]] = []
        self._redraw = float(settings["redraw"])

    def _ask(self, n: int) -> list[Genome]:
        self._size = n
        rng = self._rng()
        parents = self.strategy.parents(n, rng)
        self.drawn = (
            [self._child(parent, rng) for parent in parents]
            if parents
            else [(point, None) for point in self._latin_hypercube(n, rng)]
        )
        return [self.space.from_unit(point) for point, _ in self.drawn]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        members = [
            Member(self.axes.coordinates(point), point, outcome, parent)
            for (point, parent), outcome in zip(self.drawn, outcomes, strict=False)
        ]
        self.strategy.learn(members, self._size)

    def _begin_at(self, place: int, genome: Genome) -> None:
        self.drawn[place] = self.space.to_unit(genome), None

    def _child(self, parent: int, rng: np.random.Generator) -> tuple[Point, int | None]:
        """Draw a point near a parent and give the parent's number.

        The number is ``None`` if all genomes near the parent were seen and the point is from anywhere.
        """
        near_parent: list[Point] = []

        def draw() -> Point:
            point = self.strategy.child(parent, rng)
            choices = self.axes.choices
            anew = rng.random(len(choices)) < self._redraw
            point[choices] = np.where(anew, rng.random(len(choices)), point[choices])
            near_parent.append(point)
            return point

        point = self._unseen(draw, rng)
        # `_unseen` returns its last draw; a point that is not ours was drawn anywhere in the cube
        return point, parent if point is near_parent[-1] else None
