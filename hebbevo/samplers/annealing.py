"""Archived multi-objective simulated annealing, AMOSA (Bandyopadhyay et al., 2008), with many chains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hebbevo.samplers.knobs import ANNEALING
from hebbevo.samplers.sampler import Outcome, Sampler, penalised
from hebbevo.samplers.unit_cube import Point, reflected
from hebbevo.space import ChoiceGene, FloatGene, Gene, Genome, IntGene, same
from hebbevo.space.knobs import Scalar, Value

Losses = NDArray[np.float64]
"""One row per point, one column per objective, each column in parts of the objective's range."""


class Annealing(Sampler):
    """AMOSA (doi:10.1109/TEVC.2007.900837) with as many chains as a generation has genomes.

    Every chain makes one move per generation, and all chains share the archive. What differs from the paper:

    - The paper accepts a worse point with the probability 1 / (1 + exp(domination * temperature)), which
      grows as the temperature falls. Here the domination is divided by the temperature, so that the chains
      freeze.
    - A chain that the archive dominates stays where it is with that same probability. Otherwise it goes to
      the point of the archive that dominates it least. A chain makes about ten moves in a search, which are
      too few to catch up alone.
    - A move adds the difference of two other points to some genes (DE-MC, ter Braak, 2006,
      doi:10.1007/s11222-006-8769-1, eq. 2), and a Laplace step to others. A step of an int goes at least to
      the next value, a step of a choice to another choice. Floats and ints are reflected at their bounds. A
      gene that becomes active is drawn at random.

    Differences of losses are measured in parts of the range over the archive, the chains and their moves.
    So rescaling a loss changes no proposal, as long as no point violates a constraint: the penalty of a
    violation is added to losses that are not scaled yet. The first generation is a Latin hypercube. With one
    objective the archive is the best point.

    Attributes:
        archive: the outcomes that no other dominates.
        chains: the outcome at which each chain is, by the place of the chain in a generation.
        temperature: in units of `domination`.
    """

    knobs = ANNEALING

    def _set_up(self, settings: Mapping[str, Scalar]) -> None:
        self._hot, self._cold = float(settings["hot"]), float(settings["cold"])
        self._anneals = int(settings["anneals"])
        self._step_genes, self._step = float(settings["step_genes"]), float(settings["step"])
        self._difference_share = float(settings["difference_share"])
        self._archive_size = int(settings["archive"])
        self.archive: list[Outcome] = []
        self.chains: dict[int, Outcome] = {}
        self._anneal = 0

    @property
    def temperature(self) -> float:
        """Falls geometrically from ``hot`` to ``cold`` over each of the ``anneals`` parts of the budget."""
        cooled = self.progress * self._anneals % 1.0
        return self._hot * math.pow(self._cold / self._hot, cooled)

    def _ask(self, n: int) -> list[Genome]:
        rng = self._rng()
        if self.archive:
            self._start_chains(n, rng)
            points = [self._unseen(partial(self.move, self.chains[chain], rng), rng) for chain in range(n)]
        else:
            points = self._latin_hypercube(n, rng)
        return [self.space.from_unit(point) for point in points]

    def _start_chains(self, n: int, rng: np.random.Generator) -> None:
        """Put new chains on points of the archive; when a new anneal begins, all chains."""
        anneal = int(self.progress * self._anneals)
        for chain in range(n):
            if anneal != self._anneal or chain not in self.chains:
                self.chains[chain] = self.archive[rng.integers(len(self.archive))]
        self._anneal = anneal

    def move(self, start: Outcome, rng: np.random.Generator) -> Point:
        """Draw a point near the genome of ``start``, which differs from it in at least one gene."""
        active = [gene.name in start.genome for gene in self.space.genes]
        # an inactive gene has no value, so that it is drawn in case the move makes it active
        point = np.where(active, self.space.to_unit(start.genome), rng.random(self.space.dimension))
        others = [*self.archive, *self.chains.values()]
        one, two = (others[rng.integers(len(others))].genome for _ in range(2))
        moved = np.flatnonzero(active)
        for index in moved[rng.random(len(moved)) < self._difference_share]:
            gene = self.space.genes[index]
            if gene.name in one and gene.name in two:
                point[index] = _shifted(gene, point[index], one[gene.name], two[gene.name])
        steps = rng.random(len(moved)) < self._step_genes / len(moved)
        # the difference may be zero, so at least one gene makes a step
        steps[rng.integers(len(moved))] |= not steps.any()
        # steps shorten with the temperature, but slowly: to a tenth over four decades of temperature
        length = self._step * (self.temperature / self._hot) ** 0.25
        for index in moved[steps]:
            point[index] = _stepped(self.space.genes[index], point[index], length, rng)
        return point

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        # a third number in the seed, since the numbers of `_rng` were used up by the moves
        rng = np.random.default_rng([self.seed, self.generation, 1])
        moves = {chain: outcome for chain, outcome in enumerate(outcomes) if outcome.losses is not None}
        pool = [*self.archive, *self.chains.values(), *moves.values()]
        if not pool:
            return
        losses = penalised(pool)
        # without this the product of `domination` would depend on the units of the losses
        spread = np.ptp(losses, axis=0)
        losses /= np.where(spread > 0, spread, 1.0)
        rows = iter(range(len(pool)))
        archive = [next(rows) for _ in self.archive]
        chains = {chain: next(rows) for chain in self.chains}
        for chain in moves:
            new = next(rows)
            current = chains.get(chain, new)
            chains[chain] = accept(losses, archive, current, new, self.temperature, rng.random())
            # the chain's own point counts too: thinning may have removed it from the archive
            if not dominates(losses[[*archive, current]], losses[new]).any():
                archive = [row for row in archive if not (losses[new] <= losses[row]).all()] + [new]
            if len(archive) > 2 * self._archive_size:
                archive = [archive[row] for row in thin(losses[archive], self._archive_size)]
        for chain, row in chains.items():
            chains[chain] = follow(losses, archive, row, self.temperature, rng.random())
        self.archive = [pool[row] for row in archive]
        self.chains = {chain: pool[row] for chain, row in chains.items()}


def dominates(points: Losses, other: Losses) -> NDArray[np.bool_]:
    """Whether each of ``points``, (..., objectives), dominates ``other``, (objectives,)."""
    return np.asarray((points <= other).all(axis=-1) & (points < other).any(axis=-1))


def domination(points: Losses, other: Losses) -> Losses:
    """How much ``points``, (..., objectives), dominate ``other``, (objectives,).

    This is AMOSA's amount of domination (section III-C): the product of the differences over the objectives
    in which the two differ.

    Examples:
        >>> float(domination(np.array([0.0, 0.5, 0.25]), np.array([0.5, 0.5, 0.5])))
        0.125
    """
    gaps = np.abs(points - other)
    return np.asarray(np.where(gaps > 0, gaps, 1.0).prod(axis=-1))


def accept(
    losses: Losses, archive: Sequence[int], current: int, new: int, temperature: float, draw: float
) -> int:
    """Decide where a chain goes after a move: the cases of AMOSA (section III-D).

    Args:
        losses: (n, objectives), the points of the archive, of the chain and of the move among them.
        archive: rows of the archive.
        current: the row at which the chain is.
        new: the row of the move.
        temperature: in units of `domination`.
        draw: a random number, uniform in [0, 1).

    Returns:
        The row at which the chain is next: ``new``, ``current`` or one of the archive.
    """
    above = _dominating(losses, archive, new)
    if above and dominates(losses[new], losses[current]):  # case 3a
        amounts = domination(losses[above], losses[new])
        return above[amounts.argmin()] if draw < _logistic(amounts.min()) else new
    if dominates(losses[current], losses[new]):  # case 1: worse than the chain
        above.append(current)
    if not above:  # cases 2b, 2c, 3b, 3c: neither the chain nor the archive is better
        return new
    worse = domination(losses[above], losses[new]).mean()  # cases 1 and 2a
    return new if draw < _logistic(-worse / temperature) else current


def follow(losses: Losses, archive: Sequence[int], current: int, temperature: float, draw: float) -> int:
    """Decide whether a chain stays at row ``current`` or goes to a point of the archive that dominates it.

    Args and result as for `accept`.
    """
    above = _dominating(losses, archive, current)
    if not above:
        return current
    amounts = domination(losses[above], losses[current])
    return current if draw < _logistic(-amounts.mean() / temperature) else above[amounts.argmin()]


def thin(points: Losses, size: int) -> list[int]:
    """Thin an archive to ``size`` points: AMOSA's clustering (section III-B).

    Of each single-linkage cluster it keeps the point with the least mean distance to the others.

    Args:
        points: (n, objectives).
        size: number of clusters.

    Returns:
        Rows in ascending order; all of them if there are no more than ``size``.

    Examples:
        >>> thin(np.array([[0.0], [0.1], [0.2], [1.0]]), 2)
        [1, 3]
    """
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    cluster = np.arange(len(points))
    first, second = np.triu_indices(len(points), 1)
    clusters = len(points)
    # Kruskal's algorithm: joining the nearest pairs first gives the single-linkage clusters
    for pair in distance[first, second].argsort(kind="stable"):
        if clusters <= size:
            break
        one, two = cluster[first[pair]], cluster[second[pair]]
        if one != two:
            cluster[cluster == two] = one
            clusters -= 1
    members = [np.flatnonzero(cluster == name) for name in np.unique(cluster)]
    return sorted(int(rows[distance[np.ix_(rows, rows)].sum(axis=1).argmin()]) for rows in members)


def _dominating(losses: Losses, archive: Sequence[int], row: int) -> list[int]:
    """The rows of the archive that dominate ``row``."""
    dominating = dominates(losses[archive], losses[row])
    return [archive[place] for place in np.flatnonzero(dominating).tolist()]


def _logistic(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))  # unlike 1 / (1 + exp(-x)) this does not overflow


def _shifted(gene: Gene, place: float, one: Value, two: Value) -> float:
    """Move ``place`` by the difference from ``two`` to ``one``; a choice becomes ``one`` if they differ."""
    if isinstance(gene, ChoiceGene):
        return place if same(one, two) else gene.to_unit(one)
    return reflected(place + gene.to_unit(one) - gene.to_unit(two))


def _stepped(gene: Gene, place: float, length: float, rng: np.random.Generator) -> float:
    """Move ``place`` by a Laplace step whose mean is ``length``, and at least to a neighbouring value."""
    value = gene.from_unit(place)
    if isinstance(gene, ChoiceGene):
        others = [choice for choice in gene.choices if not same(choice, value)]
        return gene.to_unit(others[rng.integers(len(others))]) if others else place
    step = rng.laplace(0.0, length)
    moved = reflected(place + step)
    if isinstance(gene, IntGene) and gene.from_unit(moved) == value:
        next_ = value + int(math.copysign(gene.step, step))
        # at an end of the range the step is reflected to the neighbour on the other side
        return gene.to_unit(next_ if gene.contains(next_) else 2 * value - next_)
    if isinstance(gene, FloatGene) and (part := gene.part(place)) and gene.from_unit(moved) == value:
        # to the middle of the next part; at an end of the axis to the one on the other side
        start, end = part
        up = step > 0 if start > 0 and end < 1 else start == 0
        if gene.zero:
            return end  # where the range begins
        return end + (end - start) / 2 if up else start - (end - start) / 2
    return moved
