"""NSGA-II (Deb et al., 2002) with DEAP's operators on the unit cube of the genes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from deap import tools

from hebbevo.samplers.deap_adapter import Individual, compare, global_random
from hebbevo.samplers.knobs import GENETIC
from hebbevo.samplers.sampler import Outcome, Point, Sampler
from hebbevo.space.genes import ChoiceGene, Genome
from hebbevo.space.knobs import Value


class Genetic(Sampler):
    """The GA: simulated binary crossover, polynomial mutation, selection by rank and crowding.

    Genes with choices are swapped and redrawn instead. A gene that is inactive in one parent comes from the
    other, and is redrawn where both lack it. The first generation is a Latin hypercube. Failed trainings
    never become parents.
    """

    knobs = GENETIC

    def _set_up(self, settings: Mapping[str, Value]) -> None:
        self._crossover_probability = float(settings["crossover_probability"])
        self._crossover_eta = float(settings["crossover_eta"])
        self._mutation_probability = min(1.0, float(settings["mutation_genes"]) / self.space.dimension)
        self._mutation_eta = float(settings["mutation_eta"])
        self._select = _SELECTIONS[str(settings["selection"])] if self.objectives > 1 else tools.selBest
        self._is_choice = [isinstance(gene, ChoiceGene) for gene in self.space.genes]
        self._parents: list[Individual] = []

    def _ask(self, n: int) -> list[Genome]:
        self._size = n
        rng = self._rng()
        if len(self._parents) < 2:
            points = self._first(n, rng)
        else:
            litter: list[Point] = []

            def child() -> Point:
                if not litter:
                    litter.extend(np.array(sibling) for sibling in self._vary())
                return litter.pop(0)

            with global_random(self.seed, self.generation):
                points = [self._unseen(child, rng) for _ in range(n)]
        return [self.space.from_unit(point) for point in points]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        children = [
            Individual(self.space.to_unit(outcome.genome), outcome)
            for outcome in outcomes
            if outcome.losses is not None
        ]
        pool = self._parents + children
        if pool:
            compare(pool)
            with global_random(self.seed, self.generation):
                self._parents = self._select(pool, self._size)

    def _vary(self) -> tuple[list[float], list[float]]:
        one, two = (list(parent) for parent in self._complete(self._tournament(), self._tournament()))
        if random.random() < self._crossover_probability:
            mixed_one, mixed_two = tools.cxSimulatedBinaryBounded(
                one[:], two[:], self._crossover_eta, 0.0, 1.0
            )
            for gene, is_choice in enumerate(self._is_choice):
                if not is_choice:
                    one[gene], two[gene] = mixed_one[gene], mixed_two[gene]
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
        one, two = random.sample(self._parents, 2)
        if one.fitness.dominates(two.fitness):
            return one
        if two.fitness.dominates(one.fitness):
            return two
        # only NSGA-II measures crowding
        return max(one, two, key=lambda parent: getattr(parent.fitness, "crowding_dist", 0.0))

    def _complete(self, one: Individual, two: Individual) -> tuple[list[float], list[float]]:
        """Fill in the genes that a parent lacks: from the other parent, else at random."""
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
    """Selection by niches (Deb & Jain, 2014), of which there are about as many as parents."""
    objectives = len(pool[0].fitness.values)
    parts = next(parts for parts in range(1, k + 1) if math.comb(parts + objectives, parts) > k or parts == k)
    points = tools.uniform_reference_points(objectives, parts)
    chosen: list[Individual] = tools.selNSGA3(pool, k, points, nd="log")
    return chosen


_SELECTIONS: dict[str, Callable[[list[Individual], int], list[Individual]]] = {
    "nsga2": _nsga2,
    "nsga3": _nsga3,
}
