"""Archived multi-objective simulated annealing, AMOSA (Bandyopadhyay et al., 2008), with many chains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hebbevo.samplers.knobs import ANNEALING
from hebbevo.samplers.sampler import Outcome, Point, Sampler, penalised
from hebbevo.space.genes import ChoiceGene, Gene, Genome, IntGene, same
from hebbevo.space.knobs import Value

Losses = NDArray[np.float64]
"""One row a network, one column an objective, each in units of the range that the objective has."""


class Annealing(Sampler):
    """AMOSA (doi:10.1109/TEVC.2007.900837) with as many chains as a generation has genomes.

    Every chain makes one move a generation, and all share the archive. What differs from the paper:

    - Its probability of a worse point, 1 / (1 + exp(domination * temperature)), grows as the temperature
      falls. Here the domination is divided by the temperature, so that the chains freeze.
    - A chain that the archive dominates stays where it is with that same probability, and else goes to the
      point of the archive that dominates it least: ten moves are too few to catch up alone.
    - A move adds the difference of two other points to some genes (DE-MC, ter Braak, 2006,
      doi:10.1007/s11222-006-8769-1), and a Laplace step to others: at least to the next value of an int, to
      another choice. Floats and ints are reflected at their bounds. A gene that becomes active is drawn.

    Gaps between losses are in parts of the range over the archive, the chains and their moves. The first
    generation is a Latin hypercube. With one objective the archive is the best point.
    """

    knobs = ANNEALING

    def _set_up(self, settings: Mapping[str, Value]) -> None:
        self._hot, self._cold = float(settings["hot"]), float(settings["cold"])
        self._anneals = int(settings["anneals"])
        self._step_genes, self._step = float(settings["step_genes"]), float(settings["step"])
        self._difference_share = float(settings["difference_share"])
        self._archive_size = int(settings["archive"])
        self._archive: list[Outcome] = []
        self._chains: dict[int, Outcome] = {}
        self._anneal = 0

    @property
    def _temperature(self) -> float:
        cooled = self.progress * self._anneals % 1.0
        return self._hot * math.pow(self._cold / self._hot, cooled)

    def _ask(self, n: int) -> list[Genome]:
        rng = self._rng()
        if self._archive:
            self._start(n, rng)
            points = [self._unseen(partial(self._move, self._chains[chain], rng), rng) for chain in range(n)]
        else:
            points = self._first(n, rng)
        return [self.space.from_unit(point) for point in points]

    def _start(self, n: int, rng: np.random.Generator) -> None:
        """Put chains that are new, and all chains when a cooling begins, on points of the archive."""
        anneal = int(self.progress * self._anneals)
        for chain in range(n):
            if anneal != self._anneal or chain not in self._chains:
                self._chains[chain] = self._archive[rng.integers(len(self._archive))]
        self._anneal = anneal

    def _move(self, start: Outcome, rng: np.random.Generator) -> Point:
        active = [gene.name in start.genome for gene in self.space.genes]
        point = np.where(active, self.space.to_unit(start.genome), rng.random(self.space.dimension))
        others = [*self._archive, *self._chains.values()]
        one, two = (others[rng.integers(len(others))].genome for _ in range(2))
        moved = np.flatnonzero(active)
        for index in moved[rng.random(len(moved)) < self._difference_share]:
            gene = self.space.genes[index]
            if gene.name in one and gene.name in two:
                point[index] = _shifted(gene, point[index], one[gene.name], two[gene.name])
        steps = rng.random(len(moved)) < self._step_genes / len(moved)
        steps[rng.integers(len(moved))] |= not steps.any()
        length = self._step * (self._temperature / self._hot) ** 0.25
        for index in moved[steps]:
            point[index] = _stepped(self.space.genes[index], point[index], length, rng)
        return point

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        rng = np.random.default_rng([self.seed, self.generation, 1])
        told = {chain: outcome for chain, outcome in enumerate(outcomes) if outcome.losses is not None}
        pool = [*self._archive, *self._chains.values(), *told.values()]
        if not pool:
            return
        losses = penalised(pool)
        spread = np.ptp(losses, axis=0)
        losses /= np.where(spread > 0, spread, 1.0)
        rows = iter(range(len(pool)))
        archive = [next(rows) for _ in self._archive]
        chains = {chain: next(rows) for chain in self._chains}
        for chain in told:
            new = next(rows)
            current = chains.get(chain, new)
            chains[chain] = accept(losses, archive, current, new, self._temperature, rng.random())
            if not dominates(losses[[*archive, current]], losses[new]).any():
                archive = [row for row in archive if not (losses[new] <= losses[row]).all()] + [new]
            if len(archive) > 2 * self._archive_size:
                archive = [archive[row] for row in thin(losses[archive], self._archive_size)]
        for chain, row in chains.items():
            chains[chain] = follow(losses, archive, row, self._temperature, rng.random())
        self._archive = [pool[row] for row in archive]
        self._chains = {chain: pool[row] for chain, row in chains.items()}


def dominates(points: Losses, other: Losses) -> NDArray[np.bool_]:
    """Whether each of ``points``, (..., objectives), dominates ``other``, (objectives,)."""
    return np.asarray((points <= other).all(axis=-1) & (points < other).any(axis=-1))


def domination(points: Losses, other: Losses) -> Losses:
    """How much ``points``, (..., objectives), dominate ``other``: the product of the gaps that there are."""
    gaps = np.abs(points - other)
    return np.asarray(np.where(gaps > 0, gaps, 1.0).prod(axis=-1))


def accept(
    losses: Losses, archive: Sequence[int], current: int, new: int, temperature: float, draw: float
) -> int:
    """Decide where a chain at row ``current`` goes that was offered row ``new``: the cases of AMOSA.

    ``losses`` is (n, objectives), ``archive`` rows of it, ``draw`` uniform in [0, 1). Returns a row.
    """
    above = _above(losses, archive, new)
    if above and dominates(losses[new], losses[current]):  # case 3a
        amounts = domination(losses[above], losses[new])
        return above[amounts.argmin()] if draw < _logistic(amounts.min()) else new
    if dominates(losses[current], losses[new]):  # case 1
        above.append(current)
    if not above:  # cases 2b, 2c, 3b, 3c
        return new
    worse = domination(losses[above], losses[new]).mean()  # cases 1 and 2a
    return new if draw < _logistic(-worse / temperature) else current


def follow(losses: Losses, archive: Sequence[int], current: int, temperature: float, draw: float) -> int:
    """Decide whether a chain at row ``current`` stays or follows the archive; as `accept`."""
    above = _above(losses, archive, current)
    if not above:
        return current
    amounts = domination(losses[above], losses[current])
    return current if draw < _logistic(-amounts.mean() / temperature) else above[amounts.argmin()]


def thin(points: Losses, size: int) -> list[int]:
    """Keep one of each of ``size`` single-linkage clusters: the nearest to its others on average.

    ``points`` is (n, objectives). Returns rows in ascending order; all if there are no more than ``size``.
    """
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    cluster = np.arange(len(points))
    first, second = np.triu_indices(len(points), 1)
    clusters = len(points)
    for pair in distance[first, second].argsort(kind="stable"):
        if clusters <= size:
            break
        one, two = cluster[first[pair]], cluster[second[pair]]
        if one != two:
            cluster[cluster == two] = one
            clusters -= 1
    members = [np.flatnonzero(cluster == name) for name in np.unique(cluster)]
    return sorted(int(rows[distance[np.ix_(rows, rows)].sum(axis=1).argmin()]) for rows in members)


def _above(losses: Losses, archive: Sequence[int], row: int) -> list[int]:
    """The rows of the archive that dominate ``row``."""
    dominating = dominates(losses[archive], losses[row])
    return [archive[place] for place in np.flatnonzero(dominating).tolist()]


def _logistic(x: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * x))  # which, unlike an exponential, does not overflow


def _shifted(gene: Gene, place: float, one: Value, two: Value) -> float:
    """Move ``place`` by the way from ``two`` to ``one``; a choice in which they differ becomes ``one``."""
    if isinstance(gene, ChoiceGene):
        return place if same(one, two) else gene.to_unit(one)
    return _reflected(place + gene.to_unit(one) - gene.to_unit(two))


def _stepped(gene: Gene, place: float, length: float, rng: np.random.Generator) -> float:
    """Move ``place`` by a Laplace step whose mean is ``length``, and at least to a neighbouring value."""
    value = gene.from_unit(place)
    if isinstance(gene, ChoiceGene):
        others = [choice for choice in gene.choices if not same(choice, value)]
        return gene.to_unit(others[rng.integers(len(others))]) if others else place
    step = rng.laplace(0.0, length)
    moved = _reflected(place + step)
    if isinstance(gene, IntGene) and gene.from_unit(moved) == value:
        next_ = value + int(math.copysign(gene.step, step))
        return gene.to_unit(next_ if gene.contains(next_) else 2 * value - next_)
    return moved


def _reflected(place: float) -> float:
    return 1.0 - abs(1.0 - place % 2.0)
