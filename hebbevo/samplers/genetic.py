"""NSGA-II (Deb et al., 2002) with DEAP's operators on the unit cube of the genes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from deap import tools

from hebbevo.samplers.deap_adapter import Individual, seeded_global_random, set_fitness
from hebbevo.samplers.knobs import GENETIC
from hebbevo.samplers.sampler import Outcome, Sampler
from hebbevo.samplers.unit_cube import Point
from hebbevo.space import ChoiceGene, Genome
from hebbevo.space.knobs import Scalar


class Genetic(Sampler):
    """A genetic algorithm: simulated binary crossover, polynomial mutation, selection by rank and crowding.

    Crossover is that of Deb & Agrawal (1995), mutation that of Deb & Goyal (1996), selection that of NSGA-II
    (Deb et al., 2002, doi:10.1109/4235.996017). Genes with choices are swapped and redrawn instead. A gene
    that is inactive in one parent comes from the other, and is redrawn where both lack it. The first
    generation is a Latin hypercube. Failed trainings never become parents.

    Rescaling a loss changes no proposal, except with ``selection: nsga3``: DEAP's NSGA-III weighs the losses
    by constants in their own units.

    Attributes:
        parents: the survivors of the selection, as many as a generation has genomes.
    """

    knobs = GENETIC
    learns_after = 2

    def _set_up(self, settings: Mapping[str, Scalar]) -> None:
        self._crossover_probability = float(settings["crossover_probability"])
        self._crossover_eta = float(settings["crossover_eta"])
        self._mutation_probability = min(1.0, float(settings["mutation_genes"]) / self.space.dimension)
        self._mutation_eta = float(settings["mutation_eta"])
        self._select = _SELECTIONS[str(settings["selection"])] if self.objectives > 1 else tools.selBest
        self._is_choice = [isinstance(gene, ChoiceGene) for gene in self.space.genes]
        self.parents: list[Individual] = []

    def _ask(self, n: int) -> list[Genome]:
        self._size = n
        rng = self._rng()
        if len(self.parents) < 2:
            points = self._latin_hypercube(n, rng)
        else:
            siblings: list[Point] = []

            def child() -> Point:
                if not siblings:
                    siblings.extend(np.array(sibling) for sibling in self.vary())
                return siblings.pop(0)

            with seeded_global_random(self.seed, self.generation):
                points = [self._unseen(child, rng) for _ in range(n)]
        return [self.space.from_unit(point) for point in points]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        children = [
            Individual(self.space.to_unit(outcome.genome), outcome)
            for outcome in outcomes
            if outcome.losses is not None
        ]
        pool = self.parents + children
        if pool:
            set_fitness(pool)
            with seeded_global_random(self.seed, self.generation):
                self.parents = self._select(pool, self._size)

    def vary(self) -> tuple[list[float], list[float]]:
        """Make two children, points of the unit cube, of two parents that won a tournament each.

        Draws from the global random numbers of Python, as DEAP's operators do.
        """
        one, two = (list(parent) for parent in self._complete(self._tournament(), self._tournament()))
        if random.random() < self._crossover_probability:
            mixed_one, mixed_two = tools.cxSimulatedBinaryBounded(
                one[:], two[:], self._crossover_eta, 0.0, 1.0
            )
            for gene, is_choice in enumerate(self._is_choice):
                if not is_choice:
                    one[gene], two[gene] = mixed_one[gene], mixed_two[gene]
                # a blend of two choices would be a third one that neither parent has
                elif random.random() < 0.5:
                    one[gene], two[gene] = two[gene], one[gene]
        for child in (one, two):
            (mutated,) = tools.mutPolynomialBounded(
                child[:], self._mutation_eta, 0.0, 1.0, self._mutation_probability
            )
            for gene, is_choice in enumerate(self._is_choice):
                if not is_choice:
                    child[gene] = mutated[gene]
                elif random.random() < self._mutation_probability:
                    child[gene] = random.random()
        return one, two

    def _tournament(self) -> Individual:
        one, two = random.sample(self.parents, 2)
        if one.fitness.dominates(two.fitness):
            return one
        if two.fitness.dominates(one.fitness):
            return two
        # only NSGA-II measures crowding; NSGA-III keeps its niches apart in the selection already
        return max(one, two, key=lambda parent: getattr(parent.fitness, "crowding_dist", 0.0))

    def _complete(self, one: Individual, two: Individual) -> tuple[list[float], list[float]]:
        """Fill in the genes that a parent lacks: from the other parent, or at random if both lack one."""
        first, second = list(one), list(two)
        for index, gene in enumerate(self.space.genes):
            if gene.name not in one.genome and gene.name not in two.genome:
                first[index], second[index] = random.random(), random.random()
            elif gene.name not in one.genome:
                first[index] = second[index]
            elif gene.name not in two.genome:
                second[index] = first[index]
        return first, second


def _nsga2(pool: list[Individual], k: int) -> list[Individual]:
    chosen: list[Individual] = tools.selNSGA2(pool, k, nd="log")
    return chosen


def _nsga3(pool: list[Individual], k: int) -> list[Individual]:
    """Select by niches, fewer than ``k`` (Deb & Jain, 2014, doi:10.1109/TEVC.2013.2281535).

    An axis is divided into the least number of parts p for which C(p + objectives, p) exceeds ``k``. That
    makes C(p + objectives - 1, p) niches (eq. 3).
    """
    objectives = len(pool[0].fitness.values)
    parts = next(parts for parts in itertools.count(1) if math.comb(parts + objectives, parts) > k)
    points = tools.uniform_reference_points(objectives, parts)
    # DEAP raises where more are wanted than there are, as after failed trainings
    chosen: list[Individual] = tools.selNSGA3(pool, min(k, len(pool)), points, nd="log")
    return chosen


_SELECTIONS: dict[str, Callable[[list[Individual], int], list[Individual]]] = {
    "nsga2": _nsga2,
    "nsga3": _nsga3,
}
