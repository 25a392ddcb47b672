"""NSGA-II (Deb et al., 2002) with DEAP's operators on the unit cube of the genes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from deap import base, tools

from hebbevo.knobs import Knob, Value
from hebbevo.samplers.base import Outcome, Sampler
from hebbevo.space import ChoiceGene, Genome, canonical

_REDRAWS = 20


class Genetic(Sampler):
    """The GA: simulated binary crossover, polynomial mutation, selection by rank and crowding.

    Genes with choices are swapped and redrawn instead. A gene that is inactive in one parent comes from the
    other, and is redrawn where both lack it. A child that was seen before is varied again, up to 20 times,
    and then drawn from the whole space, up to 20 times. The first generation is a Latin hypercube. Failed
    trainings never become parents.
    """

    knobs: ClassVar[dict[str, Knob]] = {
        knob.name: knob
        for knob in (
            Knob("crossover_probability", float, 0.9, "probability that two parents mix", low=0.0, high=1.0),
            Knob("crossover_eta", float, 10.0, "closeness of children to parents", low=0.0, high=1e3),
            Knob("mutation_genes", float, 1.0, "genes of a child that mutate, on average", low=0.0, high=1e3),
            Knob(
                "mutation_eta", float, 10.0, "closeness of a mutated gene to the old one", low=0.0, high=1e3
            ),
        )
    }

    def _set_up(self, settings: Mapping[str, Value]) -> None:
        self._crossover_probability = float(settings["crossover_probability"])
        self._crossover_eta = float(settings["crossover_eta"])
        self._mutation_probability = min(1.0, float(settings["mutation_genes"]) / self.space.dimension)
        self._mutation_eta = float(settings["mutation_eta"])
        self._is_choice = [isinstance(gene, ChoiceGene) for gene in self.space.genes]
        self._parents: list[_Individual] = []
        self._seen: set[str] = set()

    def _ask(self, n: int) -> list[Genome]:
        self._size = n
        if len(self._parents) < 2:
            return self.space.sample(n, np.random.default_rng([self.seed, self.generation]))
        with _global_random(f"{self.seed}/{self.generation}"):
            children: list[Genome] = []
            new: set[str] = set()
            while len(children) < n:
                for child in self._litter(new):
                    new.add(canonical(child))
                    children.append(child)
            return children[:n]

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        self._seen.update(canonical(outcome.genome) for outcome in outcomes)
        children = [
            _Individual(self.space.to_unit(outcome.genome), outcome.genome, outcome.losses)
            for outcome in outcomes
            if outcome.losses is not None
        ]
        pool = self._parents + children
        self._parents = tools.selNSGA2(pool, self._size, nd="log") if pool else []

    def _litter(self, new: set[str]) -> list[Genome]:
        """Vary pairs of parents, and then draw at random, until two children are unheard of; not for ever."""
        for make in [self._vary] * _REDRAWS + [self._draw] * _REDRAWS:
            children = [self.space.from_unit(np.array(child)) for child in make()]
            names = [canonical(child) for child in children]
            if names[0] != names[1] and not (self._seen | new).intersection(names):
                break
        return children

    def _draw(self) -> tuple[list[float], list[float]]:
        one, two = ([random.random() for _ in self.space.genes] for _ in range(2))
        return one, two

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

    def _tournament(self) -> _Individual:
        one, two = random.sample(self._parents, 2)
        if one.fitness.dominates(two.fitness):
            return one
        if two.fitness.dominates(one.fitness):
            return two
        return max(one, two, key=lambda parent: parent.fitness.crowding_dist)

    def _complete(self, one: _Individual, two: _Individual) -> tuple[list[float], list[float]]:
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


class _Fitness(base.Fitness):  # type: ignore[misc]
    def __init__(self, losses: tuple[float, ...]) -> None:
        self.weights = (-1.0,) * len(losses)
        super().__init__(losses)


class _Individual(list[float]):
    """A point of the unit cube with the genome and the fitness that DEAP's selection looks at."""

    def __init__(self, unit: Any, genome: Genome, losses: tuple[float, ...]) -> None:
        super().__init__(float(u) for u in unit)
        self.genome = genome
        self.fitness = _Fitness(losses)


@contextmanager
def _global_random(seed: str) -> Iterator[None]:
    """Seed Python's generator, which DEAP draws from, and put it back afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
